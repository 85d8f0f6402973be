"""`lr_schedule` and `server_lr_schedule`: learning rates over rounds, against plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn, optim

from fedlit.aggregators import FedAvg
from fedlit.aggregators.base import Message, State
from fedlit.errors import InputError
from fedlit.schedules import Constant, Cosine, Exponential, RoundSchedule, Step, check_schedule, checked_factor
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import CLASSES, WIDTH, Listed, Running, numbers
from tests.algorithm_trial.trials import federation, tried
from tests.slow import some_slow
from tests.small_runs import command, rows, same_bits, saved

COHORTS = [[0, 1, 2, 3], [2, 0], [1, 3, 0], [0, 2]]
ROUNDS = len(COHORTS)
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lightning": (LightningTrainer, {}),
    "stack": (VectorizedTrainer, {"stack": "always"}),
    "one by one": (VectorizedTrainer, {"stack": "never"}),
}
kinds = pytest.mark.parametrize("kind", some_slow(KINDS, ["lightning", "stack"]))
COSINE = [1.0, (1 + math.cos(math.pi / 4)) / 2, 0.5, (1 + math.cos(3 * math.pi / 4)) / 2]  # of four rounds


@pytest.mark.parametrize(
    ("schedule", "rounds", "expected"),
    [
        (Constant(), 3, [1, 1, 1]),
        (Constant(warmup=3), 5, [0.25, 0.5, 0.75, 1, 1]),
        (Step(interval=2, factor=0.1), 5, [1, 1, 0.1, 0.1, 0.01]),
        (Step(interval=1, factor=0.5, warmup=1), 4, [0.5, 1, 0.5, 0.25]),
        (Exponential(factor=0.9), 3, [1, 0.9, 0.81]),
        (Cosine(), 4, COSINE),
        (Cosine(final=0.2), 2, [1, 0.6]),
        (Cosine(warmup=2), 6, [1 / 3, 2 / 3, *COSINE]),
        (Cosine(warmup=9), 2, [0.1, 0.2]),
    ],
)
def test_factors_by_hand(schedule: RoundSchedule, rounds: int, expected: list[float]) -> None:
    assert [schedule(number, rounds) for number in range(1, rounds + 1)] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), None, "half"])
def test_a_factor_that_is_no_number_above_0_is_refused(value: Any) -> None:
    class Wrong(RoundSchedule):
        def decay(self, done: int, rounds: int) -> float:
            return value

    with pytest.raises(InputError, match=r"Wrong returns .* in round 2 of 3; return a number above 0"):
        checked_factor(Wrong(), 2, 3)


# --- clients --------------------------------------------------------------------------------------------------
class Net(pl.LightningModule):
    """A linear layer; `make(module)` gives the optimiser and schedulers."""

    def __init__(self, make: Callable[[Any], Any]):
        super().__init__()
        self.layer, self.make = nn.Linear(WIDTH, CLASSES), make

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.layer(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return self.make(self)


def two_groups(module: Any) -> Any:
    """Momentum, a rate of its own for the bias, and rates that fall by 1 / (1 + step) within the fit."""
    layer = module.layer
    sgd = optim.SGD([{"params": [layer.weight]}, {"params": [layer.bias], "lr": 0.02}], 0.1, momentum=0.5)
    falling = optim.lr_scheduler.LambdaLR(sgd, lambda step: 1 / (1 + step))
    return [sgd], [{"scheduler": falling, "interval": "step"}]


def adam(module: Any) -> Any:
    return optim.Adam(module.parameters(), 0.05)


def gradients(w: dict[str, Tensor], batch: list[int]) -> dict[str, Tensor]:
    """Of the mean cross entropy, by hand."""
    x, y = numbers()
    p = torch.softmax(x[batch] @ w["layer.weight"].T + w["layer.bias"], 1)
    p[range(len(batch)), y[batch]] -= 1
    return {"layer.weight": p.T @ x[batch] / len(batch), "layer.bias": p.mean(0)}


def momentum_fit(w: dict[str, Tensor], batches: list[list[int]], f: float) -> dict[str, Tensor]:
    rates, v = {"layer.weight": 0.1 * f, "layer.bias": 0.02 * f}, {n: torch.zeros_like(t) for n, t in w.items()}
    for step, batch in enumerate(batches):
        g = gradients(w, batch)
        v = {n: 0.5 * v[n] + g[n] for n in w}
        w = {n: w[n] - rates[n] / (1 + step) * v[n] for n in w}
    return w


def adam_fit(w: dict[str, Tensor], batches: list[list[int]], f: float, kept: dict[str, Any]) -> dict[str, Tensor]:
    """Kingma and Ba 2015, algorithm 1; `kept` holds the moments and the count, and is updated."""
    zeros = {n: torch.zeros_like(t) for n, t in w.items()}
    m, v, t = kept.get("m", zeros), kept.get("v", zeros), kept.get("t", 0)
    for batch in batches:
        g, t = gradients(w, batch), t + 1
        m = {n: 0.9 * m[n] + 0.1 * g[n] for n in w}
        v = {n: 0.999 * v[n] + 0.001 * g[n] ** 2 for n in w}
        w = {n: w[n] - 0.05 * f * (m[n] / (1 - 0.9**t)) / ((v[n] / (1 - 0.999**t)).sqrt() + 1e-8) for n in w}
    kept.update(m=m, v=v, t=t)
    return w


def averaged(run: Running, w: dict[str, Tensor], cohort: list[int], trained: list[dict[str, Tensor]]) -> Any:
    sizes = run.federation.clients.train.sizes[cohort]
    return {n: sum(s * t[n] for s, t in zip(sizes, trained, strict=True)) / sizes.sum() for n in w}


def assert_close(run: Running, expected: dict[str, Tensor], tolerance: float = 1e-12) -> None:
    named = run.named()
    assert max(float((named[n] - expected[n]).abs().max()) for n in expected) < tolerance


@kinds
def test_clients_rates_follow_the_schedule_and_their_own_scheduler(tmp_path: Path, kind: str) -> None:
    trainer, options = KINDS[kind]
    run = Running(tmp_path, FedAvg(), Listed(*COHORTS), net=Net(two_groups), kind=trainer, **options)
    run.federation.lr_schedule = Cosine()
    w = run.layout.named(run.start)
    for number, cohort in enumerate(COHORTS, 1):
        orders = run.orders(number, cohort)
        w = averaged(run, w, cohort, [momentum_fit(w, orders[c], COSINE[number - 1]) for c in cohort])
    run.go(ROUNDS)
    assert_close(run, w)
    assert [row["schedule/lr_factor"] for row in run.rows] == pytest.approx(COSINE)
    assert not any("schedule/server_lr_factor" in row for row in run.rows)


@pytest.mark.parametrize(
    ("kind", "keeps"),
    some_slow([("lightning", True), ("one by one", True), ("stack", False)], [("lightning", True), ("stack", False)]),
)
def test_adam_with_and_without_its_kept_state(tmp_path: Path, kind: str, keeps: bool) -> None:
    trainer, options = KINDS[kind]
    options = options | {"keep_optimizer_state": keeps}
    run = Running(tmp_path, FedAvg(), Listed(*COHORTS), net=Net(adam), kind=trainer, **options)
    run.federation.lr_schedule = Exponential(factor=0.5, warmup=1)
    w = run.layout.named(run.start)
    kept: dict[int, dict[str, Any]] = {c: {} for c in range(4)}
    for number, (cohort, f) in enumerate(zip(COHORTS, [0.5, 1, 0.5, 0.25], strict=True), 1):
        orders = run.orders(number, cohort)
        w = averaged(run, w, cohort, [adam_fit(w, orders[c], f, kept[c] if keeps else {}) for c in cohort])
    run.go(ROUNDS)
    assert_close(run, w)


def test_fits_of_an_evaluation_have_the_factor_of_the_round(tmp_path: Path) -> None:
    rates: list[float] = []

    class Tuned(FedAvg):
        def personal(self, client: Any, received: State, state: State) -> Any:
            fitted = client.fit(received["model"], epochs=1)
            rates.extend((fitted.lr / fitted.steps)[:, 0].tolist())
            return fitted.model

    run = Running(tmp_path, Tuned(), Listed([0], [1]), optimizer={"lr": 0.1})
    run.federation.lr_schedule = Exponential(factor=0.5)
    run.go(2)
    assert rates == pytest.approx([0.1] * 4 + [0.05] * 4)


class KeepsItsOptimizer(Net):
    """Its `__init__` makes the optimiser, and each fit gets the same object."""

    def __init__(self) -> None:
        super().__init__(lambda module: module.kept)
        self.kept = optim.SGD(self.parameters(), 0.1, momentum=0.5)


def heavy(module: Any) -> Any:
    return optim.SGD(module.parameters(), 0.1, momentum=0.5)


@pytest.mark.parametrize(
    ("kind", "net"),
    [
        ("lightning", KeepsItsOptimizer),
        ("one by one", KeepsItsOptimizer),  # a stack would share its optimiser
        ("stack", partial(Net, heavy)),
    ],
)
def test_the_factor_is_in_rates_and_gain_and_in_no_later_round(
    tmp_path: Path, kind: str, net: Callable[[], Net]
) -> None:
    fits: list[Any] = []

    class Noting(FedAvg):
        def local_update(self, client: Any, received: State, state: State) -> tuple[Message, State]:
            fits.append(client.fit(received["model"]))
            return {"delta": fits[-1].model - received["model"]}, state

    trainer, options = KINDS[kind]
    run = Running(tmp_path, Noting(), Listed([3], [3], [3]), net=net(), kind=trainer, **options)
    run.federation.lr_schedule = Step(interval=1, factor=0.5)
    run.go(3)  # two epochs of two batches
    factors = [1.0, 0.5, 0.25]
    assert [float(fit.lr[0, 0]) for fit in fits] == pytest.approx([0.4 * f for f in factors], abs=1e-12)
    applied = 0.1 * (1 + 1.5 + 1.75 + 1.875)
    assert [float(fit.gain[0, 0]) for fit in fits] == pytest.approx([applied * f for f in factors], abs=1e-12)


def test_without_a_schedule_no_row_has_a_factor(tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed([0]))
    run.go()
    assert not any(name.startswith("schedule/") for row in run.rows for name in row)


class SetsItsRate(Net):
    """Sets a rate in a hook, whatever the optimiser's was."""

    def on_train_epoch_start(self) -> None:
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = 0.3


def test_a_rate_that_a_hook_sets_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = Running(tmp_path, FedAvg(), Listed([0], [0]), net=SetsItsRate(lambda m: optim.SGD(m.parameters(), 0.3)))
    run.go()
    assert not caplog.records
    run.federation.lr_schedule = Step(interval=1)
    run.go()
    assert "SetsItsRate: lr_schedule multiplies the learning rates at the start of a fit" in caplog.text


# --- the server -------------------------------------------------------------------------------------------------
def plain_fits(run: Running, w: dict[str, Tensor], number: int, cohort: list[int]) -> dict[str, Tensor]:
    """The mean of the clients' models under SGD with a rate of 0.1."""
    orders, trained = run.orders(number, cohort), []
    for client in cohort:
        v = w
        for batch in orders[client]:
            g = gradients(v, batch)
            v = {n: v[n] - 0.1 * g[n] for n in v}
        trained.append(v)
    return averaged(run, w, cohort, trained)


def sgd(module: Any) -> Any:
    return optim.SGD(module.parameters(), 0.1)


SERVERS: dict[str, Any] = {
    "mean": None,
    "momentum": partial(optim.SGD, lr=0.7, momentum=0.9),
    "adam": partial(optim.Adam, lr=0.02, betas=(0.9, 0.99), eps=1e-3),
}


@pytest.mark.parametrize("name", SERVERS)
def test_the_servers_rate_follows_its_schedule(tmp_path: Path, name: str) -> None:
    run = Running(tmp_path, FedAvg(server_optimizer=SERVERS[name]), Listed(*COHORTS), net=Net(sgd))
    run.federation.server_lr_schedule = Cosine()
    w = run.layout.named(run.start)
    m = v = {n: torch.zeros_like(t) for n, t in w.items()}
    for t, (cohort, f) in enumerate(zip(COHORTS, COSINE, strict=True), 1):
        mean = plain_fits(run, w, t, cohort)
        d = {n: mean[n] - w[n] for n in w}
        if name == "mean":
            w = {n: w[n] + f * d[n] for n in w}
        elif name == "momentum":
            m = {n: 0.9 * m[n] + d[n] for n in w}
            w = {n: w[n] + 0.7 * f * m[n] for n in w}
        else:
            m = {n: 0.9 * m[n] + 0.1 * d[n] for n in w}
            v = {n: 0.99 * v[n] + 0.01 * d[n] ** 2 for n in w}
            root = {n: (v[n] / (1 - 0.99**t)).sqrt() + 1e-3 for n in w}
            w = {n: w[n] + 0.02 * f * (m[n] / (1 - 0.9**t)) / root[n] for n in w}
    run.go(ROUNDS)
    assert_close(run, w)
    assert [row["schedule/server_lr_factor"] for row in run.rows] == pytest.approx(COSINE)


def test_a_round_without_clients_has_the_factor_too(tmp_path: Path) -> None:
    """The momentum goes on: v = 0.9 v, x = x + 0.7 f v."""
    run = Running(tmp_path, FedAvg(server_optimizer=SERVERS["momentum"]), Listed([0, 2], []), net=Net(sgd))
    run.federation.server_lr_schedule = Exponential(factor=0.5)
    first = run.go().weights
    change = first - run.start.weights
    torch.testing.assert_close(run.go().weights, first + 0.5 * 0.9 * change, rtol=0, atol=1e-12)
    assert float(change.abs().max()) > 1e-3


def test_running_statistics_move_by_their_mean(tmp_path: Path) -> None:
    statistics = []
    for schedule in (Constant(), Exponential(factor=0.5, warmup=1)):
        run = Running(tmp_path / type(schedule).__name__, FedAvg(), Listed([0, 1]), norm=True)
        run.federation.server_lr_schedule = schedule
        statistics.append(run.go().state.server["model"].statistics)
    assert torch.equal(*statistics)


class Absolute(optim.lr_scheduler.LRScheduler):
    """Its rates do not follow those of the optimiser, so that a factor would be lost."""

    def get_lr(self) -> list[float]:
        return [0.1 / (1 + self.last_epoch) for _ in self.base_lrs]


def absolute_rates(module: Any) -> Any:
    sgd = optim.SGD(module.parameters(), 0.1)
    return [sgd], [Absolute(sgd)]


class WithoutRate(optim.SGD):
    """An optimiser whose groups have no `lr`."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, lr=0.1)
        for group in self.param_groups:
            group["rate"] = group.pop("lr")

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        pass


@kinds
def test_rates_that_cannot_be_multiplied_are_refused_before_the_run(tmp_path: Path, kind: str) -> None:
    """Not in the first round whose factor is not 1."""
    trainer, options = KINDS[kind]
    run = Running(tmp_path, FedAvg(), net=Net(absolute_rates), kind=trainer, **options)
    tried(FedAvg(), run)
    with pytest.raises(InputError, match="lr_schedule multiplies learning rates, and Absolute.get_lr"):
        tried(FedAvg(), run, client_schedule=True)


def test_a_server_optimiser_without_a_rate_is_refused_before_the_run(tmp_path: Path) -> None:
    run = federation(tmp_path, "lightning")
    tried(FedAvg(server_optimizer=WithoutRate), run)
    with pytest.raises(InputError, match="WithoutRate has none"):
        tried(FedAvg(server_optimizer=WithoutRate), run, server_schedule=True)


# --- whole runs ---------------------------------------------------------------------------------------------
TINY = ["data=synthetic", "model=mlp", "clients=3", "device=cpu", "progress=none", "logger=none", "threads=1"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lr_schedule.warmup=-1"], "has to be an integer of at least 0"),
        (["lr_schedule=step", "lr_schedule.factor=0"], "lr_schedule.factor"),
        (["server_lr_schedule=cosine"], "write lr_schedule@server_lr_schedule=cosine"),
    ],
)
def test_wrong_settings_are_refused_before_the_first_round(
    tmp_path: Path, words: list[str], sentence: str, capsys: Any
) -> None:
    assert command(*TINY, "rounds=2", *words, f"hydra.run.dir={tmp_path}/run") == 2
    captured = capsys.readouterr()
    assert sentence in captured.out + captured.err
    assert not list(tmp_path.glob("run/checkpoints/round*"))


@pytest.mark.parametrize("trainer", some_slow(["lightning", "vectorized"], ["vectorized"]))
def test_a_resumed_run_gives_the_same_bits(tmp_path: Path, trainer: str) -> None:
    words = [*TINY, "lr_schedule=step", "lr_schedule.interval=1", "lr_schedule.factor=0.5", "rounds=3"]
    words += ["lr_schedule@server_lr_schedule=exponential", "server_lr_schedule.factor=0.8", f"trainer={trainer}"]
    words += ["optimizer=adam", "local_updates=3", "participation=0.7"]
    assert command(*words, f"hydra.run.dir={tmp_path}/whole") == 0
    assert command(*words, "rounds=2", f"hydra.run.dir={tmp_path}/half") == 0
    assert command(f"resume={tmp_path}/half", "rounds=3") == 0
    assert same_bits(saved(tmp_path / "whole", 3), saved(tmp_path / "half", 3))
    assert [row["schedule/lr_factor"] for row in rows(tmp_path / "half")] == [1.0, 0.5, 0.25]


def test_another_number_of_rounds_stretches_a_cosine_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    check_schedule(Cosine(), 9, None)
    check_schedule(Cosine(), 9, 9)
    check_schedule(Cosine(), 9, 1)  # the first round has the factor 1 in both
    check_schedule(Exponential(), 9, 4)
    assert not caplog.records
    check_schedule(Cosine(), 9, 4)
    assert "rounds=9 stretches the schedule Cosine, whose first rounds had the factors of a run of 4" in caplog.text


@pytest.mark.slow
def test_a_resumed_run_says_that_it_stretches_a_cosine(tmp_path: Path) -> None:
    assert command(*TINY, "rounds=2", "lr_schedule=cosine", f"hydra.run.dir={tmp_path}/run") == 0
    assert command(f"resume={tmp_path}/run", "rounds=3") == 0
    assert [row["schedule/lr_factor"] for row in rows(tmp_path / "run")] == pytest.approx([1.0, 0.5, 0.25])
    assert "rounds=3 stretches the schedule Cosine" in (tmp_path / "run" / "run.log").read_text()
