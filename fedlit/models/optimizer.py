"""An optimiser for a module that names none: the configuration's `optimizer` group."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.optim import Optimizer

from fedlit.errors import InputError


def has_optimizer(module: LightningModule) -> bool:
    """Whether the module has a `configure_optimizers`: its own, or one that `give_optimizer` gave it."""
    return is_overridden("configure_optimizers", module)


def give_optimizer(module: LightningModule, factory: Callable[..., Optimizer]) -> None:
    """Give the module a `configure_optimizers` that calls `factory(parameters)` on what requires a gradient.

    A copy or a pickle of the module gets an optimiser of its own parameters: the partial's module is copied with it.
    """
    module.configure_optimizers = partial(make_optimizer, module, factory)  # type: ignore[method-assign]


def make_optimizer(module: LightningModule, factory: Callable[..., Optimizer]) -> Optimizer:
    """`factory` on the module's parameters that require a gradient.

    Raises:
        InputError: the optimiser refuses its settings (Nesterov momentum without momentum, for instance).
    """
    # A module-level function, for Lightning looks through a partial for a function with code of its own.
    parameters = [p for p in module.parameters() if p.requires_grad]
    try:
        return factory(parameters)
    except ValueError as error:
        raise InputError(f"the optimizer refuses its settings: {error}; change optimizer.<key>.") from error
