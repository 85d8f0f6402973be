"""torchvision's data sets, from files that the tests write in the original formats."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType

import numpy as np
import pytest
import torch

from fedlit.data import torchvision_sets
from fedlit.errors import InputError

datasets = pytest.importorskip("torchvision.datasets")
RNG = np.random.default_rng(0)


def write_idx(path: Path, array: np.ndarray) -> None:
    """The format of Yann LeCun's MNIST files: type and number of axes, sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def write_mnist(
    folder: Path, images: np.ndarray, labels: np.ndarray, prefix: str = "", parts: tuple[str, str] = ("train", "t10k")
) -> None:
    for part in parts:
        write_idx(folder / f"{prefix}{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{prefix}{part}-labels-idx1-ubyte", labels)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder and logs nothing."""

    def log_message(self, *args: object) -> None:
        pass


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_mnist_files_are_read(tmp_path: Path, name: str, folder: str) -> None:
    images, labels = RNG.integers(0, 256, (30, 28, 28), dtype=np.uint8), RNG.integers(0, 10, 30, dtype=np.uint8)
    write_mnist(tmp_path / folder / "raw", images, labels)
    source = getattr(torchvision_sets, name)(tmp_path, normalize=[0.5, 0.5])
    assert source.train.in_memory and source.train.tensors[0].dtype == torch.uint8
    x, y = source.train.batch(np.array([3, 29]))
    np.testing.assert_allclose(x[:, 0].numpy(), images[[3, 29]] / 127.5 - 1, atol=1e-6)
    assert y.tolist() == labels[[3, 29]].tolist()
    assert source.input_shape == (1, 28, 28) and source.classes == 10 and len(source.label_names) == 10
    assert source.train_sites is None and len(source.test) == 30 and source.name == name


@pytest.mark.parametrize(("split", "shift", "classes"), [("balanced", 0, 47), ("letters", 1, 26)])
def test_emnist_files_are_read_and_letters_are_numbered_from_0(
    tmp_path: Path, split: str, shift: int, classes: int
) -> None:
    images, labels = RNG.integers(0, 256, (6, 28, 28), dtype=np.uint8), np.arange(6, dtype=np.uint8) + shift
    write_mnist(tmp_path / "EMNIST" / "raw", images, labels, f"emnist-{split}-", ("train", "test"))
    source = torchvision_sets.emnist(split, tmp_path)
    assert source.train.labels().tolist() == [0, 1, 2, 3, 4, 5] and source.classes == classes == len(source.label_names)
    if split == "letters":
        assert source.label_names[:2] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "kind", "key"), [("cifar10", "CIFAR10", "labels"), ("cifar100", "CIFAR100", "fine_labels")]
)
def test_cifar_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, key: str) -> None:
    data_set = getattr(datasets, kind)
    folder = tmp_path / data_set.base_folder
    folder.mkdir()

    def write(file: str, content: dict) -> list[str]:
        data = pickle.dumps(content)
        (folder / file).write_bytes(data)
        return [file, hashlib.md5(data).hexdigest()]

    images, labels, listed = [], [], {}
    for which in ("train_list", "test_list"):
        listed[which] = []
        for file, _ in getattr(data_set, which):
            data, target = RNG.integers(0, 256, (4, 3072), dtype=np.uint8), RNG.integers(0, 10, 4).tolist()
            listed[which].append(write(file, {"data": data, key: target}))
            images.append(data)
            labels += target
        monkeypatch.setattr(data_set, which, listed[which])
    classes = 10 if kind == "CIFAR10" else 100
    meta = write(data_set.meta["filename"], {data_set.meta["key"]: [f"c{i}" for i in range(classes)]})
    monkeypatch.setattr(data_set, "meta", data_set.meta | {"md5": meta[1]})

    source = getattr(torchvision_sets, name)(tmp_path, normalize="none", augment={"crop": 4, "flip": True})
    n = len(source.train)
    stored = np.concatenate(images).reshape(-1, 3, 32, 32)  # the files hold channels first
    assert np.array_equal(source.train.tensors[0].numpy(), stored[:n])
    assert np.array_equal(source.test.tensors[0].numpy(), stored[n:])
    assert [*source.train.labels(), *source.test.labels()] == labels
    assert source.classes == classes and source.label_names[1] == "c1" and source.input_shape == (3, 32, 32)
    assert source.transform.crop == 4 and source.transform.flip


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "emnist", "cifar10", "cifar100"])
def test_missing_files_are_named_with_the_command_that_downloads_them(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as raised:
        getattr(torchvision_sets, name)(root=tmp_path / "my data")
    message = str(raised.value)
    assert f"python -m fedlit.run data={name} data.download=true" in message and "\n" not in message
    assert f"data.root='{tmp_path}/my data'" in message


def test_truncated_files_are_refused_like_missing_ones(tmp_path: Path) -> None:
    images, labels = RNG.integers(0, 256, (30, 28, 28), dtype=np.uint8), np.zeros(30, dtype=np.uint8)
    write_mnist(tmp_path / "MNIST" / "raw", images, labels)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match="data=mnist"):
        torchvision_sets.mnist(tmp_path)


def test_a_failed_download_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(InputError, match="data=mnist could not be downloaded"):
        torchvision_sets.mnist(tmp_path, download=True)


def test_a_download_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = RNG.integers(0, 256, (3, 28, 28), dtype=np.uint8), np.arange(3, dtype=np.uint8)
    write_mnist(tmp_path / "server", images, labels)
    served = []
    for file, _ in datasets.MNIST.resources:
        packed = gzip.compress((tmp_path / "server" / file.removesuffix(".gz")).read_bytes())
        (tmp_path / "server" / file).write_bytes(packed)
        served.append((file, hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(datasets.MNIST, "resources", served)
    handler = partial(Quiet, directory=str(tmp_path / "server"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(datasets.MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        source = torchvision_sets.mnist(tmp_path / "data", download=True)
        server.shutdown()
    assert np.array_equal(source.train.tensors[0][:, 0].numpy(), images)


def test_an_npz_file_replaces_the_files_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)  # not asked for
    x, y = RNG.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8), np.array([0, 9, 1, 2])
    np.savez(tmp_path / "c.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    source = torchvision_sets.cifar10(path=tmp_path / "c.npz")
    assert source.name == "cifar10" and source.input_shape == (3, 32, 32) and source.classes == 10


def test_a_missing_torchvision_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(InputError, match="data=mnist needs torchvision"):
        torchvision_sets.mnist(tmp_path)


def test_a_torchvision_for_another_torch_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setitem(sys.modules, "torchvision", Broken("torchvision"))
    monkeypatch.delitem(sys.modules, "torchvision.datasets", raising=False)
    with pytest.raises(InputError, match=r"torchvision does not fit the installed torch .*torchvision::nms"):
        torchvision_sets.mnist(tmp_path)
