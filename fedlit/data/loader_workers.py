"""Worker processes of a DataLoader that are kept from one iteration to the next.

Each client has an iteration for each epoch, and starting processes takes longer than training a small client. What a
Dataset keeps in a worker process (an opened file, a cache, a counter) lives on with the process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection, parent_process
from multiprocessing.util import Finalize
from typing import Any
from weakref import WeakSet

import torch
from torch.utils.data import DataLoader, Dataset

from fedlit import interrupts
from fedlit.torch_compat import stop_workers, workers_alive

_kept: WeakSet[LoaderWorkers] = WeakSet()


class LoaderWorkers:
    """
    Args:
        dataset: indexed by the elements of an index list.
        collate_fn: turns a list of samples into a batch.
        settings: further arguments of a DataLoader, with `num_workers` of 1 or more.
    """

    def __init__(self, dataset: Dataset[Any], collate_fn: Callable[[list[Any]], Any], settings: dict[str, Any]):
        self._arguments = dataset, collate_fn, settings
        # by process, because a fork has the loaders of its parent and may not touch them
        self._loaders: dict[int, _Loaders] = {}
        _kept.add(self)

    def __reduce__(self) -> Any:
        return LoaderWorkers, self._arguments  # another process starts its own

    def batches(self, index: list[list[Any]]) -> Iterator[Any]:
        """One batch for each index list, in their order. Iterations that are open at the same time have processes of
        their own, which are kept, too."""
        if not index:
            return
        loaders = self._loaders.get(os.getpid()) or self._of_this_process()
        loader = loaders.idle.pop() if loaders.idle else self._loader(loaders)
        if not workers_alive(loader):
            loaders.stop(loader)
            loader = self._loader(loaders)
        loader.batch_sampler[:] = index  # type: ignore[index]
        try:
            yield from loader
        except GeneratorExit:  # the caller wants no more batches; the next iteration drops those under way
            loaders.idle.append(loader)
            raise
        except BaseException:  # of a sample, or a process has ended
            loaders.stop(loader)
            raise
        loaders.idle.append(loader)

    def close(self) -> None:
        """Stop the processes that this process has started."""
        if os.getpid() in self._loaders:
            self._loaders.pop(os.getpid()).stop_all()

    def _of_this_process(self) -> _Loaders:
        loaders = self._loaders[os.getpid()] = _Loaders()
        # before multiprocessing waits at the end of a process for its children, which ignore SIGTERM, and before it
        # closes its queues (priority 10), which carry the order to end
        Finalize(self, loaders.stop_all, exitpriority=20)
        return loaders

    def _loader(self, loaders: _Loaders) -> DataLoader[Any]:
        dataset, collate_fn, settings = self._arguments
        loader: DataLoader[Any] = DataLoader(
            dataset,
            batch_sampler=[],
            collate_fn=collate_fn,
            generator=torch.Generator().manual_seed(0),  # otherwise the loader draws a seed from the global one
            persistent_workers=True,
            **{**settings, "worker_init_fn": _InitWorker(settings.get("worker_init_fn"))},
        )
        loaders.started.append(loader)
        return loader


class _Loaders:
    """The loaders of one process.

    Attributes:
        started: all whose processes may run.
        idle: those without an open iteration.
    """

    def __init__(self) -> None:
        self.started: list[DataLoader[Any]] = []
        self.idle: list[DataLoader[Any]] = []

    def stop(self, loader: DataLoader[Any]) -> None:
        self.started.remove(loader)
        stop_workers(loader)

    def stop_all(self) -> None:
        self.idle.clear()
        while self.started:
            stop_workers(self.started.pop())


class _InitWorker:
    """Ctrl-C, SIGTERM and SIGHUP reach all processes of a terminal or job. The main process handles them and stops
    its workers: a worker that ended first would look like a crash. A worker ends with the process that started
    it, which may be killed."""

    def __init__(self, init: Callable[[int], None] | None):
        self.init = init

    def __call__(self, worker: int) -> None:
        interrupts.ignore_all()
        threading.Thread(target=_exit_with_parent, daemon=True).start()
        if self.init is not None:
            self.init(worker)


def _exit_with_parent() -> None:
    """At once and without a trace; torch looks every 5 seconds, when the folder of the process's sockets is gone."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


@contextmanager
def no_workers_left() -> Iterator[None]:
    """At the end of the block, the worker processes of all loaders are stopped."""
    try:
        yield
    finally:
        for workers in list(_kept):
            workers.close()
