"""engine=processes: the results of engine=serial, in the same order, also if a worker dies."""

from __future__ import annotations

import copy
import functools
import importlib
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fedlit import interrupts
from fedlit.data import TensorSamples
from fedlit.engines import Processes, Ray, Serial
from fedlit.engines.failures import ClientFailed
from fedlit.engines.serialization import pack
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.run_log import CopiedStream
from fedlit.training import Job, JobData, Returned, Worker
from fedlit.training.lightning import LightningTrainer
from fedlit.training.lightning.worker import LightningWorker
from fedlit.training.module_host import ModuleHost
from tests.slow import some_slow
from tests.training.rounds import Federated, cut, delta, facts, numbers

SHARDS = cut(8, 8, 8, 4)


class Fragile(pl.LightningModule):
    """Fails at special samples: 44 raises an InputError, 55 logs and prints, 66 kills its process (each time; with
    `kill_folder` once for each file in it), 77 raises, 88 gives NaN, 99 takes long."""

    def __init__(self, kill_folder: Path | None = None):
        super().__init__()
        self.layer, self.norm = nn.Linear(6, 3), nn.BatchNorm1d(3)
        self.kill_folder, self.main_pid = kill_folder, os.getpid()

    def training_step(self, batch, batch_idx):
        x, y = batch
        special = {number for number in (44, 55, 66, 77, 88, 99) if (x == number).any()}
        if 44 in special:
            raise InputError("write something else")
        if 55 in special:
            logging.getLogger("fragile").warning("a sample of %d", 55)
            print("printed in a step", file=sys.stderr)
        if 66 in special and os.getpid() != self.main_pid:
            files = sorted(self.kill_folder.iterdir()) if self.kill_folder else [None]
            if files:
                if files[0]:
                    files[0].unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        if 77 in special:
            raise ZeroDivisionError("this module refuses the sample")
        if 99 in special and os.getpid() != self.main_pid:
            time.sleep(0.02)
        return F.cross_entropy(self.norm(self.layer(x)), y) * (float("nan") if 88 in special else 1.0)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class PairTrainer(LightningTrainer):
    """Two clients a chunk: if one fails, both do."""

    def worker(self, module, data, measure) -> Worker:
        return PairWorker(ModuleHost(self, module, data, measure), False, self.fit_folder)


class PairWorker(LightningWorker):
    def chunks(self, jobs: list[Job]) -> Iterator[slice]:
        return (slice(i, min(i + 2, len(jobs))) for i in range(0, len(jobs), 2))

    def run(self, task, cohort) -> Returned:
        singles = [super(PairWorker, self).run(task, cohort[i : i + 1]) for i in range(len(cohort))]
        return Returned(
            [client for single in singles for client in single.clients],
            {name: torch.cat([single.wire[name] for single in singles]) for name in singles[0].wire},
            [state for single in singles for state in single.states],
            torch.cat([single.examples for single in singles]),
            [moved for single in singles for moved in single.moved],
            [client_facts for single in singles for client_facts in single.facts],
            {name: torch.cat([single.counters[name] for single in singles]) for name in singles[0].counters},
        )


@contextmanager
def federated(
    workers: int | None,
    special: float = 0.0,
    on_failure="raise",
    kill_folder: Path | None = None,
    trainer: type[LightningTrainer] = LightningTrainer,
    engine_class: type[Processes] | type[Ray] = Processes,
    **trainer_options,
) -> Iterator[Federated]:
    """Four clients, the second with a special sample; `workers` is None for the serial engine."""
    x, y = numbers(28)
    x[9] = special
    torch.manual_seed(0)
    module = Fragile(kill_folder)
    module_copy = copy.deepcopy(module)
    run = Federated(module, TensorSamples(x.clone(), y), SHARDS, on_failure=on_failure)
    engine = Serial(on_failure) if workers is None else engine_class(workers, on_failure=on_failure)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with engine:
            samples = TensorSamples(x, y)
            data = JobData(samples, samples)
            engine.start(trainer(accelerator="cpu", **trainer_options), module_copy, data, Measure())
            run.engine = engine
            yield run
    finally:
        torch.set_num_threads(threads)


def clients(results: Sequence[Returned]) -> list[list[int]]:
    return [returned.clients for returned in results]


def same(results: Sequence[Returned], expected: Sequence[Returned]) -> bool:
    """Whether the same clients returned the same bits, in the same order, in chunks of any size."""
    rows, expected_rows = (
        [(client, returned.rows([row])) for returned in some for row, client in enumerate(returned.clients)]
        for some in (results, expected)
    )
    return [client for client, _ in rows] == [client for client, _ in expected_rows] and all(
        a.wire.keys() == b.wire.keys()
        and all(torch.equal(a.wire[name], b.wire[name]) for name in a.wire)
        and all(torch.equal(a.counters[name], b.counters[name]) for name in a.counters)
        and torch.equal(a.examples, b.examples)
        for (_, a), (_, b) in zip(rows, expected_rows, strict=True)
    )


@pytest.fixture(scope="module")
def expected() -> list[Returned]:
    """A round without special samples, in this process."""
    with federated(None) as run:
        return run.round()


@pytest.mark.parametrize("workers", [1, 3])
def test_every_round_has_the_bits_and_the_order_of_the_serial_engine(expected, workers):
    with federated(workers) as run:
        assert same(run.round(), expected)
        assert same(run.round(number=2, order=[2, 0, 3]), run.round(number=2, order=[2, 0, 3]))
        assert same(run.round(), expected), "one client changed another"
        pids = [worker.process.pid for worker in run.engine.pool.workers]
        assert len(pids) == len(set(pids)) == workers
    assert multiprocessing.active_children() == []


def test_no_more_workers_are_started_than_there_are_chunks():
    with federated(64) as run:
        assert len(run.round(order=[0])) == 1
        assert len(run.engine.pool.workers) == 1


@pytest.mark.parametrize("kills", [1, 2])
def test_a_chunk_of_two_runs_again_after_one_kill_and_client_by_client_after_two(tmp_path, kills):
    for name in range(kills):
        (tmp_path / str(name)).touch()
    with federated(None, 66, trainer=PairTrainer) as run:
        expected = run.round()
    with federated(2, 66, kill_folder=tmp_path, trainer=PairTrainer) as run:
        results = run.round()
        assert list(tmp_path.iterdir()) == []
        assert same(results, expected)
        assert clients(results) == ([[0, 1], [2, 3]] if kills == 1 else [[0], [1], [2, 3]])


def test_a_client_that_kills_its_worker_each_time_is_named(expected):
    with federated(2, 66, "drop") as run:
        results = run.round()
        assert clients(results) == [[0], [], [2], [3]]
        assert results[1].failures == [
            "client 1, round 1: its worker process died (killed by SIGKILL) each time it ran"
        ]
        assert same(results, [expected[0], *expected[2:]])
        with pytest.raises(ClientFailed, match="client 1, round 3: its worker process died"):
            run.engine.failures.on_failure = "raise"
            run.round(number=3)


@pytest.mark.parametrize("workers", [None, 2])
@pytest.mark.parametrize("special", [77, 88])
def test_of_a_chunk_of_two_only_the_client_that_fails_is_left_out(expected, workers, special):
    with federated(workers, special, "drop", trainer=PairTrainer) as run:
        results = run.round()
    assert [client for returned in results for client in returned.clients] == [0, 2, 3]
    failures = [failure.partition(",")[0] for returned in results for failure in returned.failures]
    assert failures == ["client 1"]
    assert same(results, [expected[0], *expected[2:]])


def test_an_exception_carries_client_round_and_the_workers_traceback():
    with federated(2, 77) as run:
        seen = []
        with pytest.raises(ClientFailed, match="client 1, round 3: ZeroDivisionError: this module refuses") as caught:
            for returned in run.stream(number=3):
                seen += returned.clients
        assert seen == [0], "results of earlier clients in the cohort have been yielded"
        assert "in training_step" in str(caught.value.__cause__)
        assert list(facts(run.round(order=[2, 3]))) == [2, 3], "the workers go on"


def test_an_input_error_ends_the_run_with_its_own_sentence():
    with federated(2, 44, "drop") as run, pytest.raises(InputError, match="^write something else$"):
        run.round()


def test_messages_and_prints_of_a_client_reach_the_log_of_the_main_process(caplog):
    with federated(2, 55) as run:
        copied: list[str] = []
        with mock.patch.object(sys, "stdout", CopiedStream(sys.stdout, copied.append)):
            run.round()
    assert [r.getMessage() for r in caplog.records if r.name == "fragile"] == ["a sample of 55"]
    assert copied == ["printed in a step"]


def test_client_states_travel_both_ways():
    results = {}
    for workers in (None, 2):
        with federated(workers, keep_optimizer_state=True) as run:
            states = [returned.states[0] for returned in run.round()]
            results[workers] = run.round(number=2, states=states)
    assert same(results[None], results[2])
    assert all(returned.states[0]["optimizer"] for returned in results[2])


def test_training_and_test_samples_share_one_copy_in_memory():
    with federated(2) as run:
        run.round()
        data = run.engine.local_worker.host.data
        x, y = numbers(28)
        assert torch.equal(data.train.tensors[0][10:], x[10:]) and torch.equal(data.train.tensors[1], y)
        addresses = [{tensor.data_ptr() for tensor in samples.tensors} for samples in (data.train, data.test)]
        assert addresses[0] == addresses[1]


def test_a_worker_that_another_program_terminates_is_replaced():
    with federated(1, 99) as run:
        expected = run.round()
        stream = run.stream()
        first = next(stream)
        run.engine.pool.workers[0].process.terminate()
        assert same([first, *stream], expected)


def test_ctrl_c_ends_a_round_at_once():
    with interrupts.handled(), federated(2, 99) as run:
        stream = run.stream(epochs=10_000)
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        previous_handler = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        try:
            with pytest.raises(interrupts.Interrupted):
                next(stream)
        finally:
            signal.signal(signal.SIGALRM, previous_handler)
        begin = time.monotonic()
        run.engine.stop()
        assert time.monotonic() - begin < 8
    assert multiprocessing.active_children() == []


def unpicklable() -> Fragile:
    module = Fragile()
    module.unpicklable = lambda: None
    return module


def test_a_module_that_cannot_be_pickled_is_rebuilt_or_refused(expected):
    x, y = numbers(28)
    x[9] = 0
    samples = TensorSamples(x, y)
    data, trainer = JobData(samples, samples), LightningTrainer(accelerator="cpu")
    with Processes(2) as engine, pytest.raises(InputError, match=r"Fragile cannot be sent to worker.*engine=serial"):
        engine.start(trainer, unpicklable(), data, Measure())
    with federated(2) as run, Processes(2) as engine:
        engine.start(trainer, unpicklable(), data, Measure(), rebuild=Fragile)
        run.engine = engine
        assert same(run.round(), expected), "every client starts from the broadcast"


def fail(what: str) -> Any:
    if what == "an import":
        importlib.import_module("a_module_that_is_missing")
    if what == "an exit":
        sys.exit("not on this machine")
    if what == "memory":
        raise MemoryError("no room for the model")
    if what == "an input":
        raise InputError("write something else")
    raise OSError("no such thing")


STARTS = {
    "an import": (RuntimeError, "cannot start: ModuleNotFoundError: No module named 'a_module_that_is_missing'"),
    "an exit": (RuntimeError, "a worker process cannot start: SystemExit: not on this machine"),
    "memory": (RuntimeError, "a worker process cannot start: MemoryError: no room for the model"),
    "an input": (InputError, "^write something else$"),
    "the system": (RuntimeError, "a worker process cannot start: OSError: no such thing"),
}


@pytest.mark.parametrize("what", some_slow(STARTS, ["an import"]))
def test_a_worker_that_cannot_start_gives_its_own_error(what):
    error, sentence = STARTS[what]
    with federated(2) as run, Processes(1) as engine:
        trainer = LightningTrainer(accelerator="cpu")
        module = unpicklable()
        engine.start(trainer, module, run.worker.host.data, Measure(), rebuild=functools.partial(fail, what))
        run.engine = engine
        with pytest.raises(error, match=sentence) as raised:
            run.round()
        if error is RuntimeError:
            assert "in fail" in str(raised.value.__cause__), "the trace of the worker"
    assert multiprocessing.active_children() == []


class Dying(pl.LightningModule):
    """Ends the process that unpickles it."""

    def __reduce__(self) -> Any:
        return os._exit, (7,)


@pytest.mark.slow
def test_workers_that_die_before_they_are_ready_are_one_sentence():
    with federated(2) as run, Processes(1) as engine:
        engine.start(LightningTrainer(accelerator="cpu"), run.worker.host.module, run.worker.host.data, Measure())
        engine.pool.setup = pack(Dying())
        run.engine = engine
        with pytest.raises(InputError, match=r"3 worker processes in a row died before they were ready .exit code 7."):
            run.round()


@pytest.mark.slow
def test_a_killed_fork_server_is_replaced(expected, caplog):
    with federated(None, 99) as serial:
        results = serial.round(epochs=50)
    with federated(2, 99) as run:
        run.round(order=[0, 2])
        server = forkserver._forkserver._forkserver_pid
        stream = run.stream(epochs=50)
        first = next(stream)
        os.kill(server, signal.SIGKILL)
        assert same([first, *stream], results)
        assert forkserver._forkserver._forkserver_pid != server
    assert "the fork server was killed; all worker processes start again" in caplog.text
    with federated(2) as later:  # in the same process
        assert same(later.round(), expected)


@pytest.mark.slow
def test_a_fork_server_that_is_killed_each_time_is_one_sentence():
    with federated(1, 99) as run:
        handle = run.engine.pool._handle_reply

        def kill_server(*arguments: Any) -> None:
            handle(*arguments)
            os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)

        killed = mock.patch.object(run.engine.pool, "_handle_reply", kill_server)
        with killed, pytest.raises(InputError, match="the fork server of the workers was killed 3 times in a row"):
            run.round(epochs=10_000)
    assert multiprocessing.active_children() == []


def test_results_are_in_cohort_order_though_the_first_client_is_the_slowest():
    with federated(None, 99) as run:
        expected = run.round(order=[1, 0, 2, 3])
    with federated(3, 99) as run:
        results = run.round(order=[1, 0, 2, 3])
    assert clients(results) == [[1], [0], [2], [3]]
    assert all(torch.equal(delta(a), delta(b)) for a, b in zip(results, expected, strict=True))
