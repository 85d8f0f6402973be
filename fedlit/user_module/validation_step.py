"""The steps and hooks of a module for validation and test, as one data loader needs them."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from lightning.pytorch import LightningModule

_PASSED = {  # arguments that a Trainer with one loader passes
    "validation_step": 2,
    "test_step": 2,
    "on_validation_batch_start": 2,
    "on_validation_batch_end": 3,
    "on_test_batch_start": 2,
    "on_test_batch_end": 3,
}


def required_beyond(method: Any, position: int) -> list[str]:
    """The arguments of a bound method without a default, from a position on: the number of the data loader."""
    parameters = list(inspect.signature(method).parameters.values())[position:]
    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    return [p.name for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty]


def hide_dataloader_idx(module: LightningModule) -> None:
    """Give a required `dataloader_idx` the value 0, on this object.

    With one loader a Trainer passes none, and refuses a method that requires it."""
    for name, passed in _PASSED.items():
        method = getattr(module, name)
        required = required_beyond(method, passed)
        if required:
            setattr(module, name, _with_zeros(method, passed, dict.fromkeys(required, 0)))


def _with_zeros(method: Any, passed: int, zeros: dict[str, int]) -> Any:
    @functools.wraps(method)
    def with_zeros(*args: Any) -> Any:
        return method(*args, **(zeros if len(args) <= passed else {}))

    del with_zeros.__wrapped__  # Lightning would see the required argument
    return with_zeros
