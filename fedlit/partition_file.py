"""partition.npz in the run folder: which samples each client has, in plain NumPy arrays.

Client k trains on the samples `train[train_ends[k]:train_ends[k + 1]]`; `validation` and `test` are divided likewise.
`server` and `public` are the samples of the server and those that all see. `data` says to which samples the numbers
belong.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedlit.atomic_files import replacing
from fedlit.clients import Clients
from fedlit.data import DataSource
from fedlit.partitions import Shards
from fedlit.plurals import counted
from fedlit.run_folder import PARTITION

log = logging.getLogger(__name__)
PARTS = ("train", "validation", "test")
LARGEST = 128 * 2**20  # bytes, about 20 million samples: written in a tenth of a second


def write_partition(folder: Path, clients: Clients, data: DataSource, tests_are_cut: bool) -> None:
    """Write the file, or warn that it would be too large.

    Args:
        clients: those of the run; where one client trains on all shards, the file has the shards.
        tests_are_cut: the clients' tests are cut from their shards, and so are samples of the training set.
    """
    clients = clients.apart or clients
    test = data.train if tests_are_cut else data.test
    sizes = {"train": len(data.train), "validation": len(data.train), "test": len(test)}
    shards: dict[str, Shards] = {part: getattr(clients, part) for part in PARTS}
    arrays: dict[str, np.ndarray] = {}
    for part, divided in shards.items():
        arrays[part] = _narrow(divided.indices, sizes[part])
        arrays[f"{part}_ends"] = _narrow(divided.offsets, len(divided.indices) + 1)
    arrays["server"] = _narrow(clients.server_samples, len(data.train))
    arrays["public"] = _narrow(clients.public, len(data.train))
    arrays["data"] = np.array(
        f"{data.name}: the numbers in test are of the {'training' if tests_are_cut else 'test'} set of "
        f"{counted(len(test), 'sample')}, all others of the training set of {counted(len(data.train), 'sample')}"
    )
    size = sum(array.nbytes for array in arrays.values())
    if size > LARGEST:
        sizes_in_mib = size / 2**20, LARGEST / 2**20
        log.warning("%s is not written: it would have %.0f MiB, and %.0f are allowed.", PARTITION, *sizes_in_mib)
        return
    with replacing(folder / PARTITION) as draft, draft.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


class ClientSamples(dict[str, list[np.ndarray]]):
    """Part -> the samples of each client; printed as one line, because there may be many."""

    def __repr__(self) -> str:
        parts = [f"{part}: {_sizes_text(samples)}" for part, samples in self.items()]
        return f"<samples of {counted(len(next(iter(self.values()), [])), 'client')}, {', '.join(parts)}>"


def read_partition(file: Path) -> ClientSamples:
    """The samples of each client, by part."""
    with np.load(file) as arrays:
        return ClientSamples({part: np.split(arrays[part], arrays[f"{part}_ends"][1:-1]) for part in PARTS})


def _sizes_text(samples: Sequence[np.ndarray]) -> str:
    """Such as `60 (10 to 30 each)`."""
    sizes = sorted(map(len, samples))
    return f"{sum(sizes)} ({sizes[0]} to {sizes[-1]} each)" if sum(sizes) else "none"


def _narrow(numbers: np.ndarray, bound: int) -> np.ndarray:
    """Whole numbers below a bound, with 32 bits where they fit."""
    return numbers.astype(np.int32 if bound < 2**31 else np.int64)
