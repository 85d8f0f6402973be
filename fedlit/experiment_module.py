"""The model of a run, from its configuration."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig

from fedlit.errors import InputError
from fedlit.global_generators import seed_everything
from fedlit.models.optimizer import check_optimizer, give_optimizer
from fedlit.old_lightning_name import is_of_old_package
from fedlit.randomness import seed_number
from fedlit.settings.classes import build, build_in
from fedlit.settings.overrides import explicitly_set
from fedlit.user_module.old_hooks import refuse_old_hooks


def make_module(
    config: DictConfig,
    input_shape: tuple[int, ...] | None,
    classes: int | None,
    overrides: list[str],
    start_folder: Path,
) -> LightningModule:
    """The model, with initial weights that depend on the seed only, and with `optimizer=` if its class has none."""
    seed_everything(seed_number(config.seed, "first weights"))
    module = build_in(start_folder, config.model, "model", input_shape=input_shape, classes=classes)
    if is_of_old_package(module):
        raise InputError(
            f"model._target_={config.model._target_}: {type(module).__name__} inherits from a class of "
            "pytorch_lightning, which was imported before the run, and fedlit trains with lightning; write import "
            "lightning.pytorch as pl in its file, and start Python again."
        )
    if not isinstance(module, LightningModule):
        raise InputError(
            f"model._target_={config.model._target_}: this makes a {type(module).__name__}, not a LightningModule; "
            "give a class that inherits from lightning.LightningModule."
        )
    if not is_overridden("training_step", module):
        raise InputError(f"{type(module).__name__} has no training_step; fedlit trains with it: write one.")
    refuse_old_hooks(module)
    if is_overridden("configure_optimizers", module):
        if explicitly_set(overrides, "optimizer"):
            raise InputError(
                f"{type(module).__name__} has its own configure_optimizers, so optimizer= would not be used; leave one "
                "of the two out."
            )
    else:
        factory = build(config.optimizer, "optimizer")
        give_optimizer(module, factory)
        check_optimizer(module, factory)
    return module
