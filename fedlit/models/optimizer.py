"""The optimiser of the `optimizer` group, for modules that configure none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from fedlit.errors import InputError


def has_optimizer(module: LightningModule) -> bool:
    """Whether the module has a `configure_optimizers`, of its class or from `give_optimizer`."""
    return is_overridden("configure_optimizers", module)


def give_optimizer(module: LightningModule, factory: Callable[..., Optimizer]) -> None:
    """Give the module a `configure_optimizers` that calls `factory` with the parameters that require a gradient.

    A copy or a pickle of the module optimises its own parameters, because the partial's module is copied with it.
    """
    module.configure_optimizers = partial(make_optimizer, module, factory)  # type: ignore[method-assign]


def check_optimizer(module: LightningModule, factory: Callable[..., Optimizer]) -> None:
    """Make the optimiser once before any work. A parameter of this function stands for layers that `setup`,
    `configure_model` or a first batch will make.

    Raises:
        InputError: as in `make_optimizer`.
    """
    parameters = [p for p in module.parameters() if p.requires_grad and not is_lazy(p)]
    _call_factory(factory, parameters or [nn.Parameter(torch.zeros(1, 1))])


def make_optimizer(module: LightningModule, factory: Callable[..., Optimizer]) -> Optimizer:
    """`factory` with the module's parameters that require a gradient.

    Raises:
        InputError: the optimiser refuses its settings, such as Nesterov momentum without momentum, or is none.
    """
    # A module-level function, because Lightning unwraps a partial and inspects the function's code.
    parameters = [p for p in module.parameters() if p.requires_grad]
    return _call_factory(factory, parameters)


def _call_factory(factory: Callable[..., Optimizer], parameters: list[nn.Parameter]) -> Optimizer:
    try:
        optimizer = factory(parameters)
    except ValueError as error:
        raise InputError(f"the optimizer refuses its settings: {error}; change optimizer.<key>.") from error
    if not hasattr(optimizer, "step"):
        raise InputError(
            f"optimizer._target_ makes an object of type {type(optimizer).__name__}, which is not an optimiser; give a "
            "class of torch.optim, or one that inherits from torch.optim.Optimizer."
        )
    return optimizer
