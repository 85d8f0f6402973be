"""Samples of any map-style Dataset, through a DataLoader."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Subset, default_collate

from fedlit.data.labels import known_labels, read_labels
from fedlit.data.loader_workers import LoaderWorkers
from fedlit.data.samples import Samples
from fedlit.data.targets import check_range
from fedlit.data.transform import Batch
from fedlit.global_generators import preserved_cpu_generators, seed_cpu
from fedlit.randomness import seed_number
from fedlit.user_imports import UserModules
from fedlit.working_folder import in_folder

_log = logging.getLogger(__name__)
_NO_CLASSES = (
    "%s: its attribute `targets` or `labels` is not one whole number a sample, but its samples have whole numbers: the "
    "labels are read from the samples."
)
KEPT = ("num_workers", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context", "prefetch_factor")


class LoadedSamples(Samples):
    """The samples of a map-style Dataset; fedlit sets batch size and order and keeps a loader's other settings.

    Random transforms of the Dataset (torchvision's, for example) draw from the global generators of torch, numpy and
    Python. These are seeded for each sample by key and index, and restored afterwards in this process. A sample is then
    the same for any number of workers, and loading changes no draw elsewhere.
    """

    def __init__(
        self, dataset: Dataset[Any], collate_fn: Callable[[list[Any]], Batch] = default_collate, **loader: Any
    ):
        """
        Args:
            dataset: with `__len__` and `__getitem__`.
            collate_fn: turns a list of samples into a batch.
            loader: further arguments of a DataLoader, such as `num_workers`.
        """
        self.dataset, self.collate_fn, self.loader = dataset, collate_fn, loader
        self.folder = os.getcwd()  # relative paths that the Dataset opens later are meant from here
        self.reads_labels = False  # True: the labels are those of the samples, whatever the Dataset's attributes say
        self._labels: np.ndarray | None = None
        self._labels_known = False
        self._workers: LoaderWorkers | None = None

    @classmethod
    def of(cls, loader: DataLoader[Any], dataset: Dataset[Any]) -> LoadedSamples:
        """The samples of `dataset` with the settings of `loader`."""
        kept = {name: getattr(loader, name) for name in KEPT}
        return cls(dataset, loader.collate_fn, **kept)

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def labels(self) -> np.ndarray | None:
        """(N,) int64 class labels or None; the first call may read all samples, with a progress bar."""
        if not self._labels_known:
            known = None if self.reads_labels else known_labels(self.dataset, self.target)
            if known is None or known.classes is None:
                self._labels = read_labels(self)
                if known is not None and self._labels is not None:
                    _log.warning(_NO_CLASSES, type(self.dataset).__name__)
            else:
                self._labels = known.classes
            self._labels = check_range(self._labels)
            self._labels_known = True
        return self._labels

    def batch(self, index: np.ndarray, key: int = 0) -> Batch:
        with preserved_cpu_generators():
            return self.collate_fn(_Keyed(self.dataset, self.folder).__getitems__([(key, int(i)) for i in index]))

    def batches(self, parts: Sequence[np.ndarray], key: int = 0) -> Iterator[Batch]:
        index = [[(key, int(i)) for i in part] for part in parts]
        if self.loader.get("num_workers"):
            if self._workers is None:
                self._workers = LoaderWorkers(_Keyed(self.dataset, self.folder), self.collate_fn, self._settings())
            yield from self._workers.batches(index)
            return
        loader = DataLoader(
            _Keyed(self.dataset, self.folder),
            batch_sampler=index,
            collate_fn=self.collate_fn,
            generator=torch.Generator().manual_seed(0),  # otherwise the loader draws a seed from the global one
            **self._settings(),
        )
        batches = iter(loader)
        for _ in parts:
            with preserved_cpu_generators():
                batch = next(batches)
            yield batch

    def _settings(self) -> dict[str, Any]:
        pins = bool(self.loader.get("pin_memory")) and torch.cuda.is_available()  # torch warns without an accelerator
        return {**self.loader, "pin_memory": pins}


class _Keyed(Dataset[Any]):
    """A Dataset indexed by (key, index), with the global generators seeded by both for each sample.

    It reads in the folder in which it was made. A worker of a DataLoader that unpickles it (start method "spawn")
    imports the user's modules first, because unpickling would import them unseeded.
    """

    def __init__(self, dataset: Dataset[Any], folder: str):
        self.dataset, self.folder = dataset, folder

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (UserModules(), self.dataset, self.folder)  # unpickled in this order

    def __getitems__(self, pairs: list[tuple[int, int]]) -> list[Any]:
        with in_folder(self.folder):
            return self._read(pairs)

    def _read(self, pairs: list[tuple[int, int]]) -> list[Any]:
        if _reads_batches(self.dataset) and pairs:
            seed_cpu(seed_number("sample", *pairs[0]))
            return self.dataset.__getitems__([index for _, index in pairs])  # type: ignore[attr-defined]
        samples = []
        for key, index in pairs:
            seed_cpu(seed_number("sample", key, index))
            samples.append(self.dataset[index])
        return samples  # collate_fn runs next with the generators of the last sample, so its draws are keyed too


def _unpickled(modules: UserModules, dataset: Dataset[Any], folder: str) -> _Keyed:
    return _Keyed(dataset, folder)


def _reads_batches(dataset: Dataset[Any]) -> bool:
    """Whether a Dataset reads several samples in one call. Every Subset has `__getitems__`, so its Dataset decides."""
    if type(dataset) is Subset:
        return _reads_batches(dataset.dataset)
    return callable(getattr(dataset, "__getitems__", None))
