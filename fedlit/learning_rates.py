"""The learning rates of optimisers, and of the schedulers on them, multiplied by a factor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from fedlit.errors import InputError

_IN_GROUPS = ("lr", "initial_lr", "max_lr", "min_lr", "swa_lr")  # the last four are written by schedulers
_IN_SCHEDULERS = ("base_lrs", "max_lrs", "min_lrs", "eta_min", "_last_lr")


def scale_learning_rates(optimizers: Iterable[Any], schedulers: Sequence[Any], factor: float) -> None:
    """Multiply all learning rates. A scheduler goes on from the new ones: with any of torch's, each later rate is
    `factor` times what it would have been, because bases and limits are multiplied, too.

    Raises:
        InputError: an optimiser without a learning rate, or a scheduler that keeps learning rates in another way.
    """
    if factor == 1:
        return
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


def _scale_scheduler(scheduler: Any, factor: float) -> None:
    if not isinstance(scheduler, LRScheduler):
        raise InputError(
            f"lr_schedule multiplies learning rates, and those of the scheduler {type(scheduler).__name__} cannot be "
            "multiplied, because it does not inherit from torch.optim.lr_scheduler.LRScheduler; leave lr_schedule out, "
            "or give the module one of torch's schedulers."
        )
    for name in _IN_SCHEDULERS:
        if hasattr(scheduler, name):
            setattr(scheduler, name, _scaled(getattr(scheduler, name), factor))
    for part in getattr(scheduler, "_schedulers", ()):
        _scale_scheduler(part, factor)


def _scaled(rate: Any, factor: float) -> Any:
    return [factor * one_rate for one_rate in rate] if isinstance(rate, list) else factor * rate
