"""Work of one party on several cores: forked processes for one call."""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from fedlit.errors import InputError


def check_workers(workers: int) -> None:
    """
    Raises:
        InputError: it is no whole number from 1.
    """
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise InputError(f"cipher.workers={workers!r} is no number of processes; write a whole number from 1.")


def spread(work: Callable[[Any], Any], tasks: Sequence[Any], workers: int) -> list[Any]:
    """`[work(task) for task in tasks]`, by this process and `workers` - 1 others.

    The others are forked, so they have `work`, the tasks, and tables that were made before, without a copy; only
    results are pickled. Each process takes every `workers`-th task. A process that may have no children (one of
    multiprocessing's daemons) cannot do this.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        return [work(task) for task in tasks]
    context = multiprocessing.get_context("fork")
    processes, ends = [], []
    try:
        for number in range(1, workers):
            end, end_of_worker = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(work, tasks[number::workers], end_of_worker), daemon=True)
            with warnings.catch_warnings():  # of a fork beside threads; the worker uses none
                warnings.simplefilter("ignore", DeprecationWarning)
                process.start()
            end_of_worker.close()
            processes.append(process)
            ends.append(end)
        results = [work(task) for task in tasks[::workers]]
        return _in_turn([results, *(_received(end) for end in ends)], len(tasks))
    finally:
        for process, end in zip(processes, ends, strict=True):
            end.close()
            process.terminate()
            process.join()


def _work(work: Callable[[Any], Any], tasks: Sequence[Any], end: Connection) -> None:
    """In a worker. Ctrl-C reaches all processes of a terminal; the party ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        results = [work(task) for task in tasks]
    except Exception as error:
        end.send(error)
    else:
        end.send(results)


def _received(end: Connection) -> list[Any]:
    try:
        results = end.recv()
    except EOFError:
        raise RuntimeError("a worker of the cipher (cipher.workers) ended before its work was done") from None
    if isinstance(results, Exception):
        raise results
    return results


def _in_turn(shares: list[list[Any]], count: int) -> list[Any]:
    """The results in the order of the tasks, of shares by every len(shares)-th task."""
    return [shares[i % len(shares)][i // len(shares)] for i in range(count)]
