"""MNIST, Fashion-MNIST, EMNIST, CIFAR-10 and CIFAR-100 from torchvision's files, in memory as bytes."""

from __future__ import annotations

import shlex
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedlit.data.arrays import inputs_of, source_of, targets_of
from fedlit.data.augment import augmentation
from fedlit.data.npz import npz
from fedlit.data.source import DataSource
from fedlit.errors import InputError, one_line

# Published means and standard deviations of the training images, by channel, in units of 1 for white.
_MNIST = (0.1307, 0.3081)
_FASHION_MNIST = (0.2860, 0.3530)
_CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
_CIFAR100 = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))


def mnist(
    root: str | Path = "data",
    download: bool = False,
    path: str | Path | None = None,
    normalize: Any = _MNIST,
    augment: Mapping[str, Any] | None = None,
) -> DataSource:
    """MNIST (LeCun et al. 1998): 60,000 and 10,000 images (1, 28, 28) of ten digits.

    Args:
        root: the folder of torchvision's data sets.
        download: download the files if they do not exist.
        path: the same data in an .npz file (see `fedlit.data.npz.npz`), in place of torchvision's files.
        normalize: "training", "none" or `[mean, std]`: see `fedlit.data.normalize.normalizer`.
        augment: `crop` and `flip`: see `fedlit.data.augment.Augment`.

    Raises:
        InputError: the files do not exist, or torchvision is not installed.
    """
    return _source("mnist", "MNIST", root, download, path, normalize, augment)


def fashion_mnist(
    root: str | Path = "data",
    download: bool = False,
    path: str | Path | None = None,
    normalize: Any = _FASHION_MNIST,
    augment: Mapping[str, Any] | None = None,
) -> DataSource:
    """Fashion-MNIST (Xiao et al. 2017): 60,000 and 10,000 images (1, 28, 28) of ten kinds of clothes; see `mnist`."""
    return _source("fashion_mnist", "FashionMNIST", root, download, path, normalize, augment)


def emnist(
    split: str = "balanced",
    root: str | Path = "data",
    download: bool = False,
    path: str | Path | None = None,
    normalize: Any = "training",
    augment: Mapping[str, Any] | None = None,
) -> DataSource:
    """EMNIST (Cohen et al. 2017): letters and digits, images (1, 28, 28); see `mnist`.

    torchvision's files do not name the writers, so there is no natural partition. Images are transposed, as in these
    files. The classes of `split=letters` are numbered from 0.

    Args:
        split: "byclass" (62 classes), "bymerge" (47), "balanced" (47), "letters" (26), "digits" (10) or "mnist" (10).
    """
    return _source("emnist", "EMNIST", root, download, path, normalize, augment, split=split)


def cifar10(
    root: str | Path = "data",
    download: bool = False,
    path: str | Path | None = None,
    normalize: Any = _CIFAR10,
    augment: Mapping[str, Any] | None = None,
) -> DataSource:
    """CIFAR-10 (Krizhevsky 2009): 50,000 and 10,000 images (3, 32, 32) of ten classes; see `mnist`."""
    return _source("cifar10", "CIFAR10", root, download, path, normalize, augment)


def cifar100(
    root: str | Path = "data",
    download: bool = False,
    path: str | Path | None = None,
    normalize: Any = _CIFAR100,
    augment: Mapping[str, Any] | None = None,
) -> DataSource:
    """CIFAR-100 (Krizhevsky 2009): 50,000 and 10,000 images (3, 32, 32) of a hundred classes; see `mnist`."""
    return _source("cifar100", "CIFAR100", root, download, path, normalize, augment)


def _source(
    name: str,
    kind: str,
    root: str | Path,
    download: bool,
    path: str | Path | None,
    normalize: Any,
    augment: Mapping[str, Any] | None,
    **options: Any,
) -> DataSource:
    if path is not None:
        source = npz(path, normalize, augment)
        source.name = name
        return source
    parts = [_read(name, kind, Path(root).expanduser(), train, download, options) for train in (True, False)]
    first_class = 1 if options.get("split") == "letters" else 0
    arrays = [(inputs_of(np.asarray(p.data)), targets_of(np.asarray(p.targets) - first_class)) for p in parts]
    names = list(string.ascii_lowercase) if first_class else [str(c) for c in parts[0].classes]
    source = source_of(name, arrays[0], arrays[1], normalize, names)
    source.transform = augmentation(augment, arrays[0][0].shape[1:])
    return source


def _read(name: str, kind: str, root: Path, train: bool, download: bool, options: dict[str, Any]) -> Any:
    data_set = getattr(import_datasets(name), kind)
    try:
        return data_set(str(root), train=train, download=download, **options)
    except Exception as problem:  # a damaged file raises errors of many kinds
        if download:
            raise InputError(f"data={name} could not be downloaded to {root} ({problem}).") from None
        chosen = "".join(f" data.{option}={value}" for option, value in options.items())
        command = f"python -m fedlit.run data={name} data.download=true{chosen} data.root={shlex.quote(str(root))}"
        if not isinstance(problem, RuntimeError | FileNotFoundError):
            raise InputError(
                f"The files of {kind} in {root.absolute()} cannot be read ({one_line(problem)}); remove them, and get "
                f"them again by: {command}"
            ) from None
        raise InputError(
            f"There is no {kind} of torchvision in {root.absolute()}; get it by: {command} "
            "(or set data.root to the folder that has it, or data.path to an .npz file of it)"
        ) from None


def import_datasets(name: str) -> Any:
    """`torchvision.datasets`, imported on the first use because it is slow.

    Raises:
        InputError: torchvision is not installed, or was built for another torch.
    """
    try:
        from torchvision import datasets
    except ModuleNotFoundError as problem:
        if problem.name != "torchvision":
            raise
        raise InputError(f"data={name} needs torchvision; install it by pip install torchvision.") from None
    except (ImportError, RuntimeError, AttributeError, OSError) as problem:
        import torch

        raise InputError(
            f"torchvision does not fit the installed torch {torch.__version__} ({problem}); install both together by "
            "pip install --upgrade torch torchvision."
        ) from None
    return datasets
