"""Downloaded data sets, if FEDLIT_DATA names their folder."""

from __future__ import annotations

import json
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

import fedlit
from fedlit.data import torchvision_sets
from fedlit.data.credit_default import credit_default
from fedlit.data.csv_sites import csv_sites
from fedlit.data.flamby_heart import flamby_heart
from fedlit.data.npz import npz
from fedlit.data.shakespeare import ALPHABET, shakespeare
from fedlit.vertical.columns import Named, unevenness

FOLDER = Path(fedlit.__file__).parents[1] / "conf" / "data"


def wanted(root: Path, *names: str) -> list[Path]:
    files = [root / name for name in names]
    for file in files:
        if not file.is_file():
            pytest.skip(f"needs {file.name} in the folder that FEDLIT_DATA names")
    return files


@pytest.mark.parametrize(
    ("name", "shape", "size"),
    [("mnist", (1, 28, 28), 60_000), ("fashion_mnist", (1, 28, 28), 60_000), ("cifar10", (3, 32, 32), 50_000)],
)
def test_the_configured_mean_and_deviation_are_the_training_images(
    data_root: Path, name: str, shape: tuple[int, ...], size: int
) -> None:
    (file,) = wanted(data_root, f"{name}.npz")
    config = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    source = getattr(torchvision_sets, name)(path=file, normalize=config["normalize"])
    assert (len(source.train), len(source.test), source.classes) == (size, 10_000, 10)
    assert source.input_shape == shape
    x, _ = source.train.batch(np.arange(0, size, 5))
    assert x.mean((0, 2, 3)).abs().max() < 0.01 and (x.std((0, 2, 3)) - 1).abs().max() < 0.01


def test_an_epoch_of_cifar10_batches_takes_less_than_two_seconds(data_root: Path) -> None:
    (file,) = wanted(data_root, "cifar10.npz")
    source = npz(file, normalize=[0.5, 0.5])
    parts = np.random.default_rng(0).integers(0, 50_000, (100, 128))
    start = time.perf_counter()
    for _ in source.train.batches(parts):
        pass
    assert time.perf_counter() - start < 2  # 0.1 s on two idle cores


def test_writers_of_mnist_are_natural_clients(data_root: Path, tmp_path: Path) -> None:
    images, writers = (np.load(file) for file in wanted(data_root, "mnist.npz", "mnist_writers.npz"))
    chosen = slice(0, 5000)
    arrays = {name: images[name][chosen] for name in ("x_train", "y_train", "x_test", "y_test")}
    sites = {f"sites_{part}": writers[f"{part}_writer"][chosen] for part in ("train", "test")}
    np.savez(tmp_path / "writers.npz", **arrays, **sites)
    source = npz(tmp_path / "writers.npz")
    assert np.array_equal(np.unique(sites["sites_train"])[source.train_sites], sites["sites_train"])


def test_heart_disease_has_the_published_counts_of_four_hospitals(data_root: Path) -> None:
    names = ["cleveland", "hungarian", "switzerland", "va"]
    wanted(data_root, *(f"processed.{name}.data" for name in names))
    config = OmegaConf.load(FOLDER / "heart_disease_4_hospitals.yaml")
    config.root = str(data_root)
    options = OmegaConf.to_container(config, resolve=True)
    options.pop("_target_")
    source = csv_sites(**options)
    assert source.input_shape == (13,) and source.classes == 2
    both = np.concatenate([source.train_sites, source.test_sites])
    assert np.bincount(both).tolist() == [303, 294, 123, 200]
    ill = np.concatenate([source.train.labels(), source.test.labels()])
    assert [int(ill[both == site].sum()) for site in range(4)] == [139, 106, 115, 149]
    x, _ = source.train.batch(np.arange(len(source.train)))
    assert np.isfinite(x.numpy()).all() and x.mean(0).abs().max() < 1e-5


PUBLISHED = {  # data set -> files, training and test samples, samples of the last class, sites
    "shakespeare": (["shakespeare_by_role.json"], (800_305, 186_908), (1, 0), 247),  # its only $ counts as the last
    "har": (["har_subset.npz"], (900, 180), (150, 30), 30),
    "adult": (["adult.data", "adult.test"], (32_561, 16_281), (7_841, 3_846), 2),
    "credit_default": (["credit_default.csv"], (24_000, 6_000), (5_309, 1_327), None),
    "flamby_heart": (
        [f"processed.{name}.data" for name in ("cleveland", "hungarian", "switzerland", "va")],
        (486, 254),
        (252, 131),
        4,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_data_have_their_counts(name: str, data_root: Path) -> None:
    files, sizes, of_last_class, sites = PUBLISHED[name]
    wanted(data_root, *files)
    source = getattr(import_module(f"fedlit.data.{name}"), name)(root=data_root)
    assert source.name == name and (len(source.train), len(source.test)) == sizes
    counts = [np.bincount(part.labels(), minlength=source.classes) for part in (source.train, source.test)]
    assert tuple(int(count[-1]) for count in counts) == of_last_class
    assert (None if source.train_sites is None else len(set(source.train_sites.tolist()))) == sites
    x, _ = source.train.batch(np.arange(100))
    assert x.shape == (100, *source.input_shape) and x.isfinite().all()


def test_a_third_of_credit_default_is_a_test_set_of_ten_thousand(data_root: Path) -> None:
    wanted(data_root, "credit_default.csv")
    columns = credit_default(root=data_root, test_fraction=0.33333).columns
    assert columns is not None and columns.train.shape == (20_000, 23) and columns.test.shape == (10_000, 23)
    shares = Named(parties={"guest": list(columns.columns[:13]), "host": "rest"}).share(columns, 0)
    assert len(shares["host"]) == 10  # the usual division leaves the host a third of the importance
    assert 0.2 < unevenness(columns, shares)["host"] < 0.4
    assert unevenness(columns, Named().share(columns, 0))["host"] > 0.55


def test_the_hospitals_of_flamby_have_the_published_sizes(data_root: Path) -> None:
    wanted(data_root, *PUBLISHED["flamby_heart"][0])
    source = flamby_heart(root=data_root)
    assert np.bincount(source.train_sites).tolist() == [199, 172, 30, 85]
    assert np.bincount(source.test_sites).tolist() == [104, 89, 16, 45]
    x, _ = source.train.batch(np.flatnonzero(source.train_sites == 3))
    assert x.mean(0).abs().max() < 1e-6 and (x.std(0) - 1).abs().max() < 1e-5


def test_the_longest_role_of_shakespeare_is_read_as_written(data_root: Path) -> None:
    (file,) = wanted(data_root, "shakespeare_by_role.json")
    texts = json.loads(file.read_text())
    role = max(texts, key=lambda name: len(texts[name]))
    source = shakespeare(root=data_root)
    sizes = np.bincount(source.train_sites)
    first = np.flatnonzero(source.train_sites == sizes.argmax())[0]
    x, y = source.train.batch(np.array([first, first + 1000]))
    for i, begin in enumerate((0, 1000)):
        window = "".join(ALPHABET[letter] for letter in [*x[i].tolist(), int(y[i])])
        assert window == texts[role][begin : begin + 81]
    assert sizes.max() == len(texts[role]) - round(0.2 * len(texts[role])) - 80
