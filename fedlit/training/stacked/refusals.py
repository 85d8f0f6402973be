"""Modules that only a Lightning Trainer can train are refused before training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden

from fedlit.errors import InputError
from fedlit.global_generators import isolated_generators
from fedlit.training.fit_wishes_trial import fit_wishes
from fedlit.training.module_host import ModuleHost
from fedlit.training.trainer import Trainer
from fedlit.user_module.module_snapshot import copied
from fedlit.user_module.probe import attach_stub

# hooks that a Trainer calls within a fit: a run without them would silently differ
_HOOKS = (
    "backward",
    "clip_gradients",
    "configure_gradient_clipping",
    "lr_scheduler_step",
    "on_after_backward",
    "on_after_batch_transfer",
    "on_before_backward",
    "on_before_batch_transfer",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "on_fit_end",
    "on_fit_start",
    "on_train_batch_end",
    "on_train_batch_start",
    "on_train_end",
    "on_train_epoch_end",
    "on_train_epoch_start",
    "on_train_start",
    "optimizer_step",
    "optimizer_zero_grad",
    "transfer_batch_to_device",
)
_ADVICE = "; write trainer=lightning."


def refuse(precision: str, module: LightningModule) -> None:
    """
    Raises:
        InputError: only a Lightning Trainer can train the module, or train in this precision.
    """
    name = type(module).__name__
    hooks = [hook for hook in _HOOKS if is_overridden(hook, module)]
    if not module.automatic_optimization:
        raise InputError(f"trainer=vectorized: {name} has manual optimisation{_ADVICE}")
    if hooks:
        raise InputError(
            f"trainer=vectorized: {name} has a hook of its own, {hooks[0]}, which a Trainer calls{_ADVICE}"
        )
    if is_overridden("log", module):
        raise InputError(f"trainer=vectorized: {name} has a log of its own, which needs a Trainer's{_ADVICE}")
    if is_overridden("configure_callbacks", module) and module.configure_callbacks():
        raise InputError(f"trainer=vectorized: {name} brings callbacks, which a Trainer calls{_ADVICE}")
    if precision.startswith("16"):
        raise InputError(
            f"trainer.precision={precision}: trainer=vectorized does not scale losses; write "
            "trainer.precision=bf16-mixed, or trainer=lightning."
        )
    refuse_optimizers(module, None)


def refuse_optimizers(module: LightningModule, data_for: Callable[[Any], LightningDataModule] | None) -> None:
    """
    Args:
        data_for: returns the data of a trainer; None: they are not yet known.

    Raises:
        InputError: several optimisers, or LBFGS.
    """
    name = type(module).__name__
    try:
        trial = copied(module)
        attach_stub(trial, data_for)
        with isolated_generators(0):
            configuration: Any = trial.configure_optimizers()
    except Exception:  # it needs what a fit has
        return
    optimizers = list(_optimizers(configuration))
    if len(optimizers) != 1:
        raise InputError(f"trainer=vectorized: {name} has {len(optimizers)} optimisers, not one{_ADVICE}")
    if isinstance(optimizers[0], torch.optim.LBFGS):
        raise InputError(f"trainer=vectorized: LBFGS runs the step several times a batch{_ADVICE}")


def refuse_validation(trainer: Trainer, host: ModuleHost) -> None:
    """
    Raises:
        InputError: a fit follows a metric that a validation pass logs, or that nothing logs.
    """
    name = type(host.module).__name__
    wishes = fit_wishes(trainer.lightning_trainer, host.module, host.sample_data, host.data)
    missing = host.data.no_validation
    advice = f"{_ADVICE.rstrip('.')} evaluation.client_validation=0.2." if missing else _ADVICE
    for follower in wishes.of_validation if wishes.is_complete else ():
        if follower.is_strict or not missing:
            raise InputError(
                f"trainer=vectorized: the {follower.name} of {name} follows {follower.metric}, which its "
                f"validation_step logs, and only a Trainer validates in a fit{advice}"
            )
    wishes.check_logged(host.module, validated=False)
    if wishes.acts and not missing:
        raise InputError(
            f"trainer=vectorized: {name} needs a Trainer's validation pass, because {wishes.acts}{_ADVICE}"
        )


def _optimizers(configuration: Any) -> Iterator[Any]:
    """The optimisers in the return value of `configure_optimizers`."""
    if isinstance(configuration, torch.optim.Optimizer):
        yield configuration
    elif isinstance(configuration, dict):
        yield from _optimizers(configuration.get("optimizer"))
    elif isinstance(configuration, list | tuple):
        for part in configuration:
            yield from _optimizers(part)
