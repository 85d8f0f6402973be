"""Hooks of Lightning 1 that Lightning 2 refuses, or never calls."""

from __future__ import annotations

import logging

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden

from fedlit.errors import InputError

log = logging.getLogger(__name__)

_REPLACED = {stage: f"{stage}_epoch_end" for stage in ("training", "validation", "test")}
_NEVER_CALLED = (
    "training_step_end",
    "validation_step_end",
    "test_step_end",
    "on_epoch_start",
    "on_epoch_end",
    "on_batch_start",
    "on_batch_end",
    "on_pretrain_routine_start",
    "on_pretrain_routine_end",
)


def refuse_old_hooks(module: LightningModule) -> None:
    """Warns of hooks that are never called.

    Raises:
        InputError: the module has a hook that a Trainer of Lightning 2 refuses.
    """
    name = type(module).__name__
    for stage, hook in _REPLACED.items():
        is_used = stage != "test" or is_overridden("test_step", module)
        if is_used and callable(getattr(module, hook, None)):
            new = "on_train_epoch_end" if stage == "training" else f"on_{hook}"
            raise InputError(
                f"{name}.{hook} is a hook of Lightning 1, which Lightning 2 refuses; write {new}(self), and keep the "
                "outputs of the steps on self where it needs them."
            )
    unused = [hook for hook in _NEVER_CALLED if callable(getattr(module, hook, None))]
    if unused:
        log.warning("%s has hooks of Lightning 1 that Lightning 2 never calls: %s.", name, ", ".join(unused))
