"""The learning rates of optimisers, and of the schedulers on them, multiplied by a factor."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from fedlit.errors import InputError
from fedlit.notices import warn

_IN_GROUPS = ("lr", "initial_lr", "max_lr", "min_lr", "swa_lr")  # the last four are written by schedulers
_IN_SCHEDULERS = ("base_lrs", "max_lrs", "min_lrs", "eta_min", "_last_lr")
_REMEDY = "leave lr_schedule out, or give the module one of torch's schedulers"


class ScaledRates:
    """The learning rates of a fit, multiplied at its start.

    Args:
        name: of the module's class.
        optimizers, schedulers: of the fit, just made.
        factor: of the round.
    """

    def __init__(self, name: str, optimizers: Sequence[Any], schedulers: Sequence[Any], factor: float):
        self._name, self._factor, self._schedulers = name, factor, list(schedulers)
        scale_learning_rates(optimizers, schedulers, factor)
        self._rates = _rates(optimizers) if factor != 1 else []

    def check_end(self, optimizers: Sequence[Any], schedulers: Sequence[Any]) -> None:
        """Warn if something other than the schedulers has changed the rates: what it set may lack the factor."""
        if self._factor == 1:
            return
        others = any(a is not b for a, b in zip(schedulers, self._schedulers, strict=False))
        if len(schedulers) != len(self._schedulers) or others or (not schedulers and _rates(optimizers) != self._rates):
            warn(
                f"{self._name}: lr_schedule multiplies the learning rates at the start of a fit, and a hook, callback "
                "or optimiser has changed them in the fit; the new rates have the factor only if they were computed "
                "from the old ones."
            )


def scale_learning_rates(optimizers: Iterable[Any], schedulers: Sequence[Any], factor: float) -> None:
    """Multiply all learning rates. A scheduler goes on from the new ones: with any of torch's, each later rate is
    `factor` times what it would have been, because bases and limits are multiplied, too.

    Raises:
        InputError: an optimiser without a learning rate, or a scheduler that keeps learning rates in another way.
    """
    if factor == 1:
        return
    for scheduler in schedulers:
        if not isinstance(scheduler, LRScheduler):
            raise InputError(
                f"lr_schedule multiplies learning rates, and those of the scheduler {type(scheduler).__name__} cannot "
                f"be multiplied, because it does not inherit from torch.optim.lr_scheduler.LRScheduler; {_REMEDY}."
            )
    users = [scheduler for scheduler in schedulers if not type(scheduler).__module__.startswith("torch.optim.")]
    rates = [_next_rates(scheduler) for scheduler in users]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            if "lr" not in group:
                raise InputError(
                    f"a schedule over rounds multiplies a learning rate, and {type(optimizer).__name__} has none (lr); "
                    "leave lr_schedule and server_lr_schedule out."
                )
            group.update({name: _scaled(group[name], factor) for name in _IN_GROUPS if name in group})
    for scheduler in schedulers:
        _scale_scheduler(scheduler, factor)
    for scheduler, before in zip(users, rates, strict=True):
        if any(
            abs(new - factor * old) > 1e-6 * abs(old) for new, old in zip(_next_rates(scheduler), before, strict=True)
        ):
            raise InputError(
                f"lr_schedule multiplies learning rates, and {type(scheduler).__name__}.get_lr computes rates that do "
                "not follow base_lrs or those of the optimiser; let it compute them from self.base_lrs, or "
                f"{_REMEDY}."
            )


def _scale_scheduler(scheduler: LRScheduler, factor: float) -> None:
    for name in _IN_SCHEDULERS:
        if hasattr(scheduler, name):
            setattr(scheduler, name, _scaled(getattr(scheduler, name), factor))
    for part in getattr(scheduler, "_schedulers", ()):
        _scale_scheduler(part, factor)


def _scaled(rate: Any, factor: float) -> Any:
    return [factor * one_rate for one_rate in rate] if isinstance(rate, list) else factor * rate


def _next_rates(scheduler: LRScheduler) -> list[float]:
    """The rates of a user's scheduler after its next step, and after the one that follows."""
    last_epoch, result = scheduler.last_epoch, list[float]()
    try:
        for step in (1, 2):
            scheduler.last_epoch = last_epoch + step
            with warnings.catch_warnings(), suppress(Exception):  # a table of rates may end before
                warnings.simplefilter("ignore")  # get_lr is meant to be called by step
                result += map(float, scheduler.get_lr())
    finally:
        scheduler.last_epoch = last_epoch
    return result


def _rates(optimizers: Iterable[Any]) -> list[float]:
    return [float(group["lr"]) for optimizer in optimizers for group in optimizer.param_groups]
