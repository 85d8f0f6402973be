"""engine=processes: the results of engine=serial, in its order, whatever happens to a worker."""

from __future__ import annotations

import copy
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fedlit import interrupts
from fedlit.data import TensorSamples
from fedlit.engines import Processes, Ray, Serial
from fedlit.engines.failures import ClientFailed
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.training import Job, JobData, Returned, Worker
from fedlit.training.lightning import LightningTrainer
from fedlit.training.lightning.worker import LightningWorker
from fedlit.training.module_host import ModuleHost
from tests.training.rounds import Federated, cut, delta, facts, numbers

SHARDS = cut(8, 8, 8, 4)


class Moody(pl.LightningModule):
    """Does odd things at odd samples: 44 raises an InputError, 55 logs, 66 kills its process (at each of the files in
    `once` one time, else each time), 77 raises, 88 gives NaN, 99 takes long."""

    def __init__(self, once: Path | None = None):
        super().__init__()
        self.layer, self.norm = nn.Linear(6, 3), nn.BatchNorm1d(3)
        self.once, self.main = once, os.getpid()

    def training_step(self, batch, batch_idx):
        x, y = batch
        odd = {number for number in (44, 55, 66, 77, 88, 99) if (x == number).any()}
        if 44 in odd:
            raise InputError("write something else")
        if 55 in odd:
            logging.getLogger("moody").warning("a sample of %d", 55)
        if 66 in odd and os.getpid() != self.main:
            left = sorted(self.once.iterdir()) if self.once else [None]
            if left:
                if left[0]:
                    left[0].unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        if 77 in odd:
            raise ZeroDivisionError("a sample this module cannot stand")
        if 99 in odd and os.getpid() != self.main:
            time.sleep(0.02)
        return F.cross_entropy(self.norm(self.layer(x)), y) * (float("nan") if 88 in odd else 1.0)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Pairs(LightningTrainer):
    """Two clients a chunk, which live and die together."""

    def worker(self, module, data, measure) -> Worker:
        return PairWorker(ModuleHost(self, module, data, measure))


class PairWorker(LightningWorker):
    def chunks(self, jobs: list[Job]) -> Iterator[slice]:
        return (slice(i, min(i + 2, len(jobs))) for i in range(0, len(jobs), 2))

    def run(self, work, cohort) -> Returned:
        all_of = [super(PairWorker, self).run(work, cohort[i : i + 1]) for i in range(len(cohort))]
        return Returned(
            [c for one in all_of for c in one.clients],
            {name: torch.cat([one.wire[name] for one in all_of]) for name in all_of[0].wire},
            [s for one in all_of for s in one.states],
            torch.cat([one.examples for one in all_of]),
            [m for one in all_of for m in one.moved],
            [f for one in all_of for f in one.facts],
            {name: torch.cat([one.counters[name] for one in all_of]) for name in all_of[0].counters},
        )


@contextmanager
def federated(
    workers: int | None,
    bad: float = 0.0,
    on_failure="raise",
    once: Path | None = None,
    trainer: type[LightningTrainer] = LightningTrainer,
    kind: type[Processes] | type[Ray] = Processes,
    **made,
) -> Iterator[Federated]:
    """Four clients, the second with an odd sample; `workers` is None for the serial engine."""
    x, y = numbers(28)
    x[9] = bad
    torch.manual_seed(0)
    module = Moody(once)
    other = copy.deepcopy(module)
    run = Federated(module, TensorSamples(x.clone(), y), SHARDS, on_failure=on_failure)
    engine = Serial(on_failure) if workers is None else kind(workers, on_failure=on_failure)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with engine:
            samples = TensorSamples(x, y)
            engine.start(trainer(accelerator="cpu", **made), other, JobData(samples, samples), Measure())
            run.engine = engine
            yield run
    finally:
        torch.set_num_threads(threads)


def same(one: list[Returned], other: list[Returned]) -> bool:
    """Whether the clients came back with the same bits, in the same order."""
    flat = [[(c, back.rows([r])) for back in all_of for r, c in enumerate(back.clients)] for all_of in (one, other)]
    return [c for c, _ in flat[0]] == [c for c, _ in flat[1]] and all(
        a.wire.keys() == b.wire.keys()
        and all(torch.equal(a.wire[n], b.wire[n]) for n in a.wire)
        and all(torch.equal(a.counters[n], b.counters[n]) for n in a.counters)
        and torch.equal(a.examples, b.examples)
        for (_, a), (_, b) in zip(*flat, strict=True)
    )


@pytest.fixture(scope="module")
def well() -> list[Returned]:
    """A round without odd samples, in this process."""
    with federated(None) as run:
        return run.round()


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_bits_in_the_same_order_round_after_round(well, workers):
    with federated(workers) as run:
        assert same(run.round(), well)
        assert same(run.round(number=2, order=[2, 0, 3]), run.round(number=2, order=[2, 0, 3]))
        assert same(run.round(), well), "what a client left behind reached another"
        members = [member.process.pid for member in run.engine.pool.members]
        assert len(members) == len(set(members)) == workers
    assert multiprocessing.active_children() == []


def test_workers_are_started_for_chunks_that_there_are(well):
    with federated(64) as run:
        assert len(run.round(order=[0])) == 1
        assert len(run.engine.pool.members) == 1


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_chunk_of_two_whose_worker_is_killed(well, tmp_path, deaths):
    """Once: it runs again. Twice: its clients run by themselves."""
    for name in range(deaths):
        (tmp_path / str(name)).touch()
    with federated(None, 66, trainer=Pairs) as run:
        expected = run.round()
    with federated(2, 66, once=tmp_path, trainer=Pairs) as run:
        back = run.round()
        assert list(tmp_path.iterdir()) == []
        assert same(back, expected)
        assert [one.clients for one in back] == ([[0, 1], [2, 3]] if deaths == 1 else [[0], [1], [2, 3]])


def test_a_client_that_kills_its_worker_each_time_is_named(well):
    with federated(2, 66, "drop") as run:
        back = run.round()
        assert [one.clients for one in back] == [[0], [], [2], [3]]
        assert back[1].failures == [
            "client 1, round 1: its worker process was gone (killed by SIGKILL), each time it was run"
        ]
        assert same(back, [well[0], *well[2:]])
        with pytest.raises(ClientFailed, match="client 1, round 3: its worker process was gone"):
            run.engine.failures.on_failure = "raise"
            run.round(number=3)


@pytest.mark.parametrize("workers", [None, 2])
@pytest.mark.parametrize("bad", [77, 88])
def test_in_a_chunk_of_two_the_one_that_fails_is_left_out_alone(well, workers, bad):
    with federated(workers, bad, "drop", trainer=Pairs) as run:
        back = run.round()
    assert [c for one in back for c in one.clients] == [0, 2, 3]
    assert [failure.partition(",")[0] for one in back for failure in one.failures] == ["client 1"]
    assert same(back, [well[0], *well[2:]])


def test_an_exception_comes_with_client_round_and_the_workers_traceback():
    with federated(2, 77) as run:
        seen = []
        with pytest.raises(ClientFailed, match="client 1, round 3: ZeroDivisionError: a sample this") as caught:
            for one in run.stream(number=3):
                seen += one.clients
        assert seen == [0], "what came before it in the cohort has been handed over"
        assert "in training_step" in str(caught.value.__cause__)
        assert list(facts(run.round(order=[2, 3]))) == [2, 3], "the workers go on"


def test_a_sentence_for_the_user_stays_one():
    with federated(2, 44, "drop") as run, pytest.raises(InputError, match="^write something else$"):
        run.round()


def test_what_a_client_logs_reaches_the_main_process(caplog):
    with federated(2, 55) as run:
        run.round()
    assert [r.getMessage() for r in caplog.records if r.name == "moody"] == ["a sample of 55"]


def test_the_states_of_clients_travel_both_ways():
    back = {}
    for workers in (None, 2):
        with federated(workers, keep_optimizer_state=True) as run:
            states = [one.states[0] for one in run.round()]
            back[workers] = run.round(number=2, states=states)
    assert same(back[None], back[2])
    assert all(one.states[0]["optimizer"] for one in back[2])


def test_data_in_memory_are_there_once():
    with federated(2) as run:
        run.round()
        tensors = run.engine.local_worker.host.data.train.tensors
        here = {t.data_ptr() for t in tensors}
        x, y = numbers(28)
        assert torch.equal(tensors[0][10:], x[10:]) and torch.equal(tensors[1], y)
        assert here == {t.data_ptr() for t in run.engine.local_worker.host.data.test.tensors}


def test_a_worker_that_is_told_to_stop_by_someone_else_is_replaced(well):
    with federated(1, 99) as run:
        expected = run.round()
        stream = run.stream()
        first = next(stream)
        run.engine.pool.members[0].process.terminate()
        assert same([first, *stream], expected)


def test_ctrl_c_ends_a_round_at_once():
    with interrupts.heeded(), federated(2, 99) as run:
        stream = run.stream(epochs=10_000)
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        before = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        try:
            with pytest.raises(interrupts.Interrupted):
                next(stream)
        finally:
            signal.signal(signal.SIGALRM, before)
        begin = time.monotonic()
        run.engine.stop()
        assert time.monotonic() - begin < 8
    assert multiprocessing.active_children() == []


def test_a_module_that_cannot_be_pickled_is_made_again(well):
    torch.manual_seed(0)
    module = Moody()
    module.held = lambda: None
    x, y = numbers(28)
    x[9] = 0
    samples = TensorSamples(x, y)
    with Processes(2) as engine, pytest.raises(InputError, match=r"Moody cannot be sent to worker.*engine=serial"):
        engine.start(LightningTrainer(accelerator="cpu"), module, JobData(samples, samples), Measure())
    with federated(2) as run, Processes(2) as engine:
        engine.start(LightningTrainer(accelerator="cpu"), module, JobData(samples, samples), Measure(), Moody)
        run.engine = engine
        assert same(run.round(), well), "every client begins with what is broadcast"


def test_a_worker_that_cannot_start_says_why():
    with federated(2) as run, Processes(1) as engine:
        module = Moody()
        module.held = lambda: None
        engine.start(LightningTrainer(accelerator="cpu"), module, run.worker.host.data, Measure(), cannot)
        run.engine = engine
        with pytest.raises(RuntimeError, match="a worker process cannot start: OSError: no such thing"):
            run.round()


def cannot() -> pl.LightningModule:
    raise OSError("no such thing")


def test_delta_is_in_order_of_the_cohort_not_of_arrival():
    """The first client is the slowest by far."""
    with federated(None, 99) as run:
        expected = run.round(order=[1, 0, 2, 3])
    with federated(3, 99) as run:
        back = run.round(order=[1, 0, 2, 3])
    assert [one.clients for one in back] == [[1], [0], [2], [3]]
    assert all(torch.equal(delta(a), delta(b)) for a, b in zip(back, expected, strict=True))
