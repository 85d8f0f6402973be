"""A user's data set in one NumPy file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fedlit.data.arrays import chosen_layout, inputs_of, log_doubtful_targets, source_of, targets_of
from fedlit.data.augment import augmentation
from fedlit.data.source import DataSource, numbered
from fedlit.errors import InputError, one_line

_NEEDED = ("x_train", "y_train", "x_test", "y_test")


def npz(
    path: str | Path | None,
    normalize: Any = "training",
    augment: Mapping[str, Any] | None = None,
    inputs: Literal["auto", "features", "tokens"] = "auto",
    layout: Literal["auto", "channels_first", "channels_last", "no_channels"] = "auto",
    task: Literal["auto", "classes", "regression"] = "auto",
) -> DataSource:
    """The arrays `x_train`, `y_train`, `x_test`, `y_test` of a file that `numpy.savez` wrote.

    `sites_train` and `sites_test` are optional: the natural client of each sample (`partition=natural`), as numbers or
    words.

    Args:
        path: the file; required.
        normalize: "training", "none" or `[mean, std]`: see `fedlit.data.normalize.normalizer`. Features are normalised
            in 64 bits, by the training samples alone, and are float32 then.
        augment: `crop` and `flip`: see `fedlit.data.augment.Augment`.
        inputs: "features", "tokens" (whole numbers that do not change, for a model with an embedding), or "auto": bytes
            are images, floats are features, other integers are tokens.
        layout: the axis of the channels: see `fedlit.data.layout.channels_first`.
        task: "classes", "regression", or "auto": integers from 0 are classes, floats a regression.

    Raises:
        InputError: there is no file, or it does not hold these arrays.
    """
    if path is None:
        raise InputError("data=npz needs the file to read; write data.path=<file>.npz.")
    path = Path(path).expanduser()
    arrays = _read(path)
    try:
        layout_of_both = chosen_layout(arrays["x_train"], "x_train", inputs, layout)
        x_train, x_test = (inputs_of(arrays[name], name, inputs, layout_of_both) for name in ("x_train", "x_test"))
        y_train, y_test = (targets_of(arrays[name], name, task) for name in ("y_train", "y_test"))
        log_doubtful_targets(arrays["y_train"], "y_train", task)
        names = ("x_train", "x_test")
        source = source_of(path.stem, (x_train, y_train), (x_test, y_test), normalize, input_names=names)
        if "sites_train" in arrays:
            source.train_sites, source.test_sites = numbered(
                _sites(arrays, "sites_train"), _sites(arrays, "sites_test")
            )
    except ValueError as problem:  # InputErrors as well
        raise InputError(f"{path}: {problem}") from None
    source.transform = augmentation(augment, x_train.shape[1:])
    return source


def _sites(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """The sites (N,) of an array (N,) or (N, 1)."""
    sites = arrays[name]
    words = [arrays[other].dtype.kind in "US" for other in ("sites_train", "sites_test")]
    if sites.size != len(sites) or sites.dtype.kind not in "uifbUS" or words[0] != words[1]:
        raise ValueError(
            f"{name} is {sites.dtype} of shape {sites.shape}; sites are one number or word a sample, of the same type "
            "in sites_train and sites_test."
        )
    if sites.dtype.kind == "f" and np.isnan(sites).any():
        raise ValueError(f"{name} holds NaN; every sample needs a site.")
    return sites.reshape(-1)


def _read(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(
            f"There is no file {path}; data.path must be a file of numpy.savez with the arrays {', '.join(_NEEDED)}."
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in (*_NEEDED, "sites_train", "sites_test")}
            names = list(file.files)
    except Exception as error:  # a damaged file raises errors of many kinds: of the archive, its compression, a header
        reason = "" if "pickle" in str(error) else f" ({one_line(error)})"  # NumPy advises to load pickles
        raise InputError(
            f"{path} cannot be read as an .npz file of plain arrays, numbers or words{reason}; write it with "
            "numpy.savez."
        ) from None
    missing = [name for name in _NEEDED if name not in arrays]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}; it has {', '.join(names) or 'no array'}, and needs the arrays "
            f"{', '.join(_NEEDED)}."
        )
    if ("sites_train" in arrays) != ("sites_test" in arrays):
        raise InputError(f"{path} has only one of sites_train and sites_test; write both or neither.")
    for part in ("train", "test"):
        sizes = {name: len(a) if a.ndim else 0 for name, a in arrays.items() if name.endswith(f"_{part}")}
        if len(set(sizes.values())) > 1 or 0 in sizes.values():
            listed = ", ".join(f"{name} has {size}" for name, size in sizes.items())
            raise InputError(f"{path}: the arrays of the {part} set must have the same length, above 0; {listed}.")
    return arrays
