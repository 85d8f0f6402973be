"""Learning rates under `lr_schedule`: in a fit, every rate of optimiser and schedulers is multiplied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn, optim
from torch.optim import lr_scheduler as schedules
from torch.optim.swa_utils import SWALR

from fedlit.errors import InputError
from fedlit.learning_rates import scale_learning_rates

FACTOR = 0.3
SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "lambda": lambda o: schedules.LambdaLR(o, lambda step: 1 / (1 + step)),
    "multiplicative": lambda o: schedules.MultiplicativeLR(o, lambda step: 0.9),
    "step": lambda o: schedules.StepLR(o, 2),
    "milestones": lambda o: schedules.MultiStepLR(o, [1, 3]),
    "constant": lambda o: schedules.ConstantLR(o, 0.5, 2),
    "linear": lambda o: schedules.LinearLR(o, 0.2, 1.0, 4),
    "exponential": lambda o: schedules.ExponentialLR(o, 0.8),
    "polynomial": lambda o: schedules.PolynomialLR(o, 6, 2.0),
    "cosine": lambda o: schedules.CosineAnnealingLR(o, 5, eta_min=0.01),
    "warm restarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, 3, eta_min=0.01),
    "cyclic": lambda o: schedules.CyclicLR(o, 0.01, 0.2, step_size_up=2, cycle_momentum=False),
    "one cycle": lambda o: schedules.OneCycleLR(o, 0.5, total_steps=9),
    "swa": lambda o: SWALR(o, swa_lr=0.02, anneal_epochs=3),
    "sequential": lambda o: schedules.SequentialLR(
        o, [schedules.LinearLR(o, 0.1, 1.0, 2), schedules.CosineAnnealingLR(o, 4, eta_min=0.02)], [3]
    ),
    "chained": lambda o: schedules.ChainedScheduler([schedules.ConstantLR(o, 0.1, 2), schedules.ExponentialLR(o, 0.9)]),
}


def rates(make: Callable[[Any], Any], factor: float) -> list[list[float]]:
    """The rates of two parameter groups in eight steps."""
    body, head = nn.Linear(2, 2), nn.Linear(2, 1)
    groups = [{"params": body.parameters()}, {"params": head.parameters(), "lr": 0.02}]
    optimizer = optim.SGD(groups, lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    scale_learning_rates([optimizer], [scheduler], factor)
    seen = []
    for _ in range(8):
        seen.append([float(group["lr"]) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    assert scheduler.get_last_lr() == [group["lr"] for group in optimizer.param_groups]
    return seen


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_later_rate_is_multiplied(name: str) -> None:
    expected = [[FACTOR * rate for rate in step] for step in rates(SCHEDULERS[name], 1.0)]
    torch.testing.assert_close(torch.tensor(rates(SCHEDULERS[name], FACTOR)), torch.tensor(expected))


def test_all_of_torchs_schedulers_are_tried() -> None:
    shipped = {c for c in vars(schedules).values() if isinstance(c, type) and issubclass(c, schedules.LRScheduler)}
    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), 0.1, momentum=0.9)
    tried = {type(make(optimizer)) for make in SCHEDULERS.values()}
    untried = {c.__name__ for c in shipped - tried if not c.__name__.startswith("_")}
    assert untried == {"LRScheduler", "ReduceLROnPlateau"}


def test_a_plateau_ends_at_the_multiplied_least_rate() -> None:
    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), 0.1)
    plateau = schedules.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, min_lr=0.04)
    scale_learning_rates([optimizer], [plateau], FACTOR)
    seen = []
    for _ in range(4):
        plateau.step(1.0)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([0.03, 0.015, 0.012, 0.012])


def test_a_rate_in_a_tensor_is_multiplied() -> None:
    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), torch.tensor(0.1))
    falling = schedules.ExponentialLR(optimizer, 0.5)
    scale_learning_rates([optimizer], [falling], FACTOR)
    optimizer.step()
    falling.step()
    assert float(optimizer.param_groups[0]["lr"]) == pytest.approx(0.015)


def test_a_scheduler_that_is_none_of_torchs_is_refused() -> None:
    class Foreign:
        def step(self) -> None:
            pass

    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), 0.1)
    scale_learning_rates([optimizer], [Foreign()], 1.0)
    with pytest.raises(InputError, match="those of the scheduler Foreign cannot be multiplied"):
        scale_learning_rates([optimizer], [Foreign()], FACTOR)


class Inverse(schedules.LRScheduler):
    def get_lr(self) -> list[float]:
        return [base / (1 + self.last_epoch) for base in self.base_lrs]


class Absolute(schedules.LRScheduler):
    def get_lr(self) -> list[float]:
        return [0.1 / (1 + self.last_epoch) for _ in self.base_lrs]


def test_a_scheduler_of_the_users_goes_on_from_the_multiplied_base() -> None:
    expected = [[FACTOR * rate for rate in step] for step in rates(Inverse, 1.0)]
    torch.testing.assert_close(torch.tensor(rates(Inverse, FACTOR)), torch.tensor(expected))


def test_a_table_that_ends_with_the_fit_is_multiplied() -> None:
    class Table(schedules.LRScheduler):
        def get_lr(self) -> list[float]:
            return [base * (1.0, 0.5)[self.last_epoch] for base in self.base_lrs]

    optimizer = optim.SGD(nn.Linear(1, 1).parameters(), 0.1)
    table = Table(optimizer)
    scale_learning_rates([optimizer], [table], FACTOR)
    optimizer.step()
    table.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.05 * FACTOR)


def test_a_scheduler_that_would_lose_the_factor_is_refused() -> None:
    assert rates(Absolute, 1.0)[1] == [0.05, 0.05]
    with pytest.raises(InputError, match=r"Absolute.get_lr computes rates that do not follow base_lrs"):
        rates(Absolute, FACTOR)


def test_an_optimiser_without_a_learning_rate_is_refused() -> None:
    class WithoutRate(optim.Optimizer):
        def __init__(self, params: Any):
            super().__init__(params, {})

    with pytest.raises(InputError, match="WithoutRate has none"):
        scale_learning_rates([WithoutRate(nn.Linear(1, 1).parameters())], [], FACTOR)
