"""A client without a step in one of its fits is left out, as if it had not been asked, under every algorithm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from fedlit.aggregators import (
    APFL,
    Aggregator,
    FedAMP,
    FedAvg,
    FedPer,
    FedProx,
    Local,
    Moon,
    PerFedAvg,
    QFedAvg,
    Scaffold,
)
from fedlit.engines import Engine, Processes, Serial
from fedlit.messages.stages import Stage
from fedlit.model_vectors import Model
from fedlit.training import Trainer
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import Listed, Net, Running, numbers
from tests.slow import some_slow

IDLE = 1  # the client that makes no step
MARK = 77.0  # a value in the samples of that client
TRAINERS: dict[str, tuple[type[Trainer], dict[str, Any]]] = {
    "lightning": (LightningTrainer, {}),
    "one stack": (VectorizedTrainer, {"stack": "always"}),
    "stacks of two": (VectorizedTrainer, {"stack": "always", "chunk": 2}),
    "one by one": (VectorizedTrainer, {"stack": "never"}),
}


class Skips(Net):
    """`training_step` returns None for marked samples, from the round `since` on."""

    since = 1

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        marked = bool((batch[0] == MARK).any()) and self.round >= self.since
        return None if marked else super().training_step(batch, batch_idx)


class SkipsLater(Skips):
    since = 2


class Refuses(Net):
    """`on_train_batch_start` ends the epoch at marked samples."""

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        return -1 if bool((batch[0] == MARK).any()) else None


class OneCycle(Net):
    """A scheduler that cannot be made for a fit without a step."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


class SecondFit(FedAvg):
    """A second fit of 0 epochs, after a first one that trains."""

    def local_update(self, client, received, state):
        x = received["model"]
        first = client.fit(x).model
        return {"delta": first - x, "rate": (first - x).weights / client.fit(first, epochs=0).lr}, state


class Divides(FedAvg):
    """Divides in plain numbers, so that a client without steps raises an error."""

    def local_update(self, client, received, state):
        x = received["model"]
        y = client.fit(x)
        steps = [1 / float(n) for n in y.steps[:, 0]]
        return {"delta": y.model - x, "each": torch.tensor(steps, dtype=torch.float64)[:, None]}, state


class NanInPlaceOfZero(FedAvg):
    """Its state and every part of its message is 0/0 where no step was made."""

    def client_state(self, model):
        return {"previous": model}

    def local_update(self, client, received, state):
        x = received["model"]
        y = client.fit(x)
        mean_step = (y.model - x) / y.steps
        return {"delta": mean_step, "count": (y.steps / y.steps)[:, 0]}, {"previous": x + mean_step}


@dataclass
class Case:
    sizes: tuple[int, ...] = (13, 8, 6, 4)
    net: Callable[[], pl.LightningModule] = Net
    trainers: tuple[str, ...] = tuple(TRAINERS)


CASES = {
    "one sample under batch normalisation": Case((13, 1, 9, 6), lambda: Net(norm=True)),
    "no sample": Case((13, 0, 9, 6)),
    "no sample, and a scheduler": Case((13, 0, 9, 6), OneCycle),
    "training_step returns None": Case(net=Skips, trainers=("lightning", "one by one")),
    "on_train_batch_start returns -1": Case(net=Refuses, trainers=("lightning",)),
}
ALGORITHMS: dict[str, Callable[[], Aggregator]] = {
    **{kind.__name__: kind for kind in (FedAvg, FedProx, FedPer, Local, Scaffold, APFL, FedAMP)},
    **{kind.__name__: kind for kind in (QFedAvg, Moon, PerFedAvg, NanInPlaceOfZero, Divides)},
}


def leaves(tree: Any, name: str = "") -> dict[str, Tensor]:
    if isinstance(tree, Model):
        tree = {"weights": tree.weights, "statistics": tree.statistics}
    if isinstance(tree, dict):
        return {path: t for key, part in tree.items() for path, t in leaves(part, f"{name}/{key}").items()}
    return {name: tree}


def assert_same(result: Running, expected: Running) -> None:
    """All states of server and clients agree but for rounding, which depends on the rows of a stack."""
    states = [{"server": run.state.server, "clients": dict(run.state.clients.items())} for run in (result, expected)]
    left, right = map(leaves, states)
    assert left.keys() == right.keys()
    for name, value in right.items():
        assert value.isfinite().all(), name
        torch.testing.assert_close(left[name], value, rtol=0, atol=1e-11, msg=name)


def running(
    folder: Path, algorithm: str, case: Case, cohorts: list[list[int]], trainer: str, **options: Any
) -> Running:
    x, y = numbers()
    begin = case.sizes[0]
    x[begin : begin + case.sizes[IDLE]] = MARK
    kind, trainer_options = TRAINERS[trainer]
    torch.manual_seed(0)
    return Running(
        folder,
        ALGORITHMS[algorithm](),
        Listed(*cohorts),
        case.net(),
        kind=kind,
        samples=(x, y),
        sizes=case.sizes,
        **trainer_options,
        **options,
    )


TRIALS = [
    *((algorithm, "no sample", trainer) for algorithm in ALGORITHMS for trainer in ("lightning", "stacks of two")),
    *(("NanInPlaceOfZero", name, trainer) for name, case in CASES.items() for trainer in case.trainers),
]


QUICK = [trial for trial in TRIALS if trial[2] != "lightning" or trial[0] in ("NanInPlaceOfZero", "Scaffold", "APFL")]


@pytest.mark.parametrize(("algorithm", "case_name", "trainer"), some_slow(TRIALS, QUICK))
def test_an_idle_client_changes_nothing_as_if_it_had_not_been_asked(
    algorithm: str, case_name: str, trainer: str, tmp_path: Path
) -> None:
    case = CASES[case_name]
    asked = [[2, 0, IDLE, 3], [IDLE, 3]]
    run, without = (
        running(tmp_path, algorithm, case, cohorts, trainer).go(2)
        for cohorts in (asked, [[c for c in cohort if c != IDLE] for cohort in asked])
    )
    assert_same(run, without)
    assert run.state.clients.get([IDLE]) == [None]
    for row, other in zip(run.rows, without.rows, strict=True):
        assert (row["cohort/idle"], row["cohort/lost"]) == (1, 0)
        assert row["cohort/arrived"] == other["cohort/arrived"]
        assert row.get("train/loss") == pytest.approx(other["train/loss"], abs=1e-12)
        assert all(value == value for value in row.values())


@pytest.mark.parametrize(
    ("trainer", "on_failure"),
    some_slow(
        [(t, f) for t in ("lightning", "stacks of two") for f in ("raise", "drop")], [("stacks of two", "raise")]
    ),
)
def test_worker_processes_leave_an_idle_client_out_too(trainer: str, on_failure: Any, tmp_path: Path) -> None:
    engines: list[Engine] = [Serial(on_failure), Processes(2, on_failure)]
    cohorts = [[2, 0, IDLE, 3]] * 2
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        runs = []
        for engine in engines:
            with engine:
                runs.append(running(tmp_path, "Divides", CASES["no sample"], cohorts, trainer, engine=engine).go(2))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(runs[0].weights, runs[1].weights)
    assert [[row["cohort/idle"], row["cohort/lost"]] for run in runs for row in run.rows] == [[1, 0]] * 4


@pytest.mark.parametrize("trainer", ["lightning", "one by one"])
def test_states_of_a_client_are_those_of_its_last_round_with_steps(trainer: str, tmp_path: Path) -> None:
    """It trains in round 1 and makes no step in round 2."""
    run = running(
        tmp_path,
        "NanInPlaceOfZero",
        Case(net=SkipsLater),
        [[0, IDLE], [0, IDLE]],
        trainer,
        keep_optimizer_state=True,
        optimizer={"lr": 0.1, "momentum": 0.9},
    ).go()
    assert [row["cohort/idle"] for row in run.rows] == [0]
    before = leaves(run.state.clients.get([IDLE])[0])
    assert any("/optimizer/" in name for name in before) and any("/algorithm/" in name for name in before)
    run.go()
    assert [row["cohort/idle"] for row in run.rows] == [0, 1]
    after = leaves(run.state.clients.get([IDLE])[0])
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("trainer", ["lightning", "one by one"])
def test_only_steps_with_a_gradient_are_counted(trainer: str, tmp_path: Path) -> None:
    """Client 1 skips the batches that have its marked samples: its rates are those of the other steps."""
    x, y = numbers()
    x[13] = MARK  # one of its eight samples
    kind, options = TRAINERS[trainer]
    torch.manual_seed(0)

    class Rates(FedAvg):
        def __init__(self):
            super().__init__()
            self.weighting = {"steps": "uniform", "lr": "uniform"}

        def local_update(self, client, received, state):
            y = client.fit(received["model"])
            return {"delta": y.model - received["model"], "steps": y.steps, "lr": y.lr}, state

        def server_update(self, server, reduced, round):
            return {**server, "steps": reduced["steps"], "lr": reduced["lr"]}

    run = Running(
        tmp_path, Rates(), Listed([IDLE]), Skips(), kind=kind, samples=(x, y), sizes=Case().sizes, **options
    ).go()
    assert run.state.server["steps"].tolist() == [
        2.0
    ]  # of four batches in two epochs, each epoch has one that is marked
    assert run.state.server["lr"].tolist() == pytest.approx([0.2])


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_round_in_which_nobody_trained_says_so_and_the_server_keeps_its_state(
    trainer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number, (aggregator, sizes, options, reason) in enumerate(
        [
            (Scaffold(), (13, 0, 9, 6), {}, "client 1: it has no training samples; give it some"),
            (Scaffold(), (13, 1, 9, 6), {"norm": True}, "client 1: its only training sample is a batch of one"),
            (Scaffold(), (13, 8, 6, 4), {"epochs": 0}, "client 1: its fit has 0 epochs; write epochs=1"),
            (Scaffold(), (13, 8, 6, 4), {"limit_train_batches": 0}, "trainer.limit_train_batches=0 leaves no batch"),
            (SecondFit(), (13, 8, 6, 4), {}, "client 1: its fit has 0 epochs"),
        ]
    ):
        caplog.clear()
        kind, trainer_options = TRAINERS[trainer]
        run = Running(
            tmp_path / str(number), aggregator, Listed([IDLE]), kind=kind, sizes=sizes, **trainer_options, **options
        )
        before = leaves(run.state.server)
        run.federation.aggregator.server_update = lambda *args: pytest.fail("the server stepped")
        run.go()
        assert all(torch.equal(before[name], value) for name, value in leaves(run.state.server).items())
        (row,) = run.rows
        assert (row["cohort/idle"], row["cohort/arrived"], row["cohort/lost"], row["comm/bytes_up"]) == (1, 0, 0, 0)
        assert not [name for name in row if name.startswith(("train/", "update/"))]
        (line,) = [r.getMessage() for r in caplog.records if "nobody trained" in r.getMessage()]
        assert line.startswith("round 1: nobody trained, and the server keeps its state; of 1 client that was asked")
        assert reason in line and "\n" not in line


class NeedsNumbers(Stage):
    """Raises at NaN, as torch's Bernoulli draws do."""

    def encode(self, client, wire, state):
        if any(bool(value.isnan().any()) for value in wire.values()):
            raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true")
        return wire, {"sent": torch.ones_like(client.examples)}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_no_stage_meets_the_nan_of_an_idle_client(
    trainer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uplink = {"needs": NeedsNumbers()}
    run = running(tmp_path, "NanInPlaceOfZero", CASES["no sample"], [[0, IDLE, 2]], trainer, uplink=uplink).go()
    assert run.rows[0]["cohort/idle"] == 1 and run.state.clients.get([IDLE]) == [None]
    assert not [record for record in caplog.records if "run again" in record.getMessage()]
