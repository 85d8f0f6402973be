"""What a checkpoint keeps of a run's data, so that a run does not go on with other data."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from fedlit.data.samples import Samples
from fedlit.data.source import DataSource
from fedlit.plurals import counted
from fedlit.torch_compat import pytree

SampleNumbers = list[list[float]]

_SAMPLES = 8  # samples of each set that are read
_TOLERANCE = 1e-4  # relative: another machine may round differently
_SETS = {"train": "training set", "test": "test set"}


def fingerprint(data: DataSource) -> dict[str, Any]:
    """Sizes, labels, sites and some samples of the training and of the test set, as plain values."""
    sites = {"train": data.train_sites, "test": data.test_sites}
    return {
        name: {
            "size": len(samples),
            "labels": _digest(samples.labels()),
            "sites": _digest(sites[name]),
            "samples": some_samples(samples),
        }
        for name, samples in (("train", data.train), ("test", data.test))
    }


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first difference of two fingerprints in words; empty if there is none."""
    for key, name in _SETS.items():
        was, is_now = before[key], now[key]
        if was["size"] != is_now["size"]:
            return f"the {name} has {counted(is_now['size'], 'sample')}, and had {was['size']} when the run began"
        for part in ("labels", "sites"):
            if was[part] != is_now[part]:
                return f"the {name} has other {part} than when the run began"
        if not _close(was["samples"], is_now["samples"]):
            return f"the {name} has other samples than when the run began"
    return ""


def looks_same(first: Samples, second: Samples) -> bool:
    """Whether two sets have the same size and agree in the samples that are compared."""
    if len(first) != len(second):
        return False
    if not len(first):
        return True
    numbers = some_samples(first), some_samples(second)
    return None not in numbers and _close(*numbers)


def _digest(numbers: np.ndarray | None) -> str | None:
    return None if numbers is None else hashlib.sha256(np.ascontiguousarray(numbers, dtype="<i8").data).hexdigest()


def some_samples(samples: Samples) -> SampleNumbers | None:
    """For some samples, a number for each of their parts; None if reading a sample twice gives other numbers."""
    first, second = _read(samples), _read(samples)
    return first if _close(first, second) else None


def same_samples(samples: Samples, numbers: SampleNumbers | None) -> bool:
    """Whether these are the samples of which `some_samples` gave the numbers."""
    return numbers is None or _close(_read(samples), numbers)


def _read(samples: Samples) -> SampleNumbers:
    index = np.unique(np.linspace(0, len(samples) - 1, _SAMPLES).astype(np.int64))
    parts = [np.array([number]) for number in index]
    # worker_init_fn may give a Dataset what it has in worker processes only, such as a generator
    through_workers = getattr(samples, "loader", {}).get("worker_init_fn") is not None
    batches = samples.batches(parts) if through_workers else map(samples.batch, parts)
    return [[_number(leaf) for leaf in pytree.tree_leaves(batch) if _is_value(leaf)] for batch in batches]


def _is_value(leaf: Any) -> bool:
    return isinstance(leaf, Tensor | np.ndarray | np.generic | int | float | str | bytes)


def _number(leaf: Any) -> float:
    """The mean square of an array whose entries are weighted by their position, or a checksum of a text."""
    if isinstance(leaf, str | bytes):
        return float(zlib.crc32(leaf.encode() if isinstance(leaf, str) else leaf))
    if isinstance(leaf, Tensor):
        leaf = leaf.detach().cpu().to_dense()
        leaf = (leaf.abs() if leaf.is_complex() else leaf).double().numpy()
    array = np.asarray(leaf).ravel()
    if array.dtype.kind not in "iubf":
        return float(array.size)
    weights = 1 + np.arange(array.size) % 7
    return float(np.square(array.astype(np.float64)) @ weights) / max(array.size, 1)


def _close(first: SampleNumbers | None, second: SampleNumbers | None) -> bool:
    if first is None or second is None:
        return True
    return [len(numbers) for numbers in first] == [len(numbers) for numbers in second] and all(
        math.isclose(a, b, rel_tol=_TOLERANCE, abs_tol=1e-9) or (math.isnan(a) and math.isnan(b)) or a == b
        for numbers, others in zip(first, second, strict=True)
        for a, b in zip(numbers, others, strict=True)
    )
