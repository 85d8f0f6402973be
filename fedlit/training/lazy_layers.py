"""Lazy layers get their shapes before anything reads them, from the steps of one batch.

Draws are of the global generators as the run or `ModuleCopy.restore` has left them, so all processes and a resumed run
make the same weights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import nn
from torch.nn.parameter import is_lazy

from fedlit.errors import InputError, one_line
from fedlit.quiet import silent
from fedlit.training.made_layers import Attach, done
from fedlit.user_module.module_snapshot import ModuleSnapshot, plain_attributes, replace_attributes
from fedlit.user_module.training_step import call_evaluation_step, call_step


def materialise(module: LightningModule, attach: Attach, batch: Callable[[], Any], context: Callable[[], Any]) -> None:
    """Run the steps of a batch, in evaluation mode and without gradients, until no lazy layer is left without shape.
    Everything else is as before.

    Args:
        batch: returns a batch for the module where it is, the CPU.
        context: of the run's precision.

    Raises:
        InputError: a layer is still without shape.
    """
    lazy = [m for m in module.modules() if _is_lazy(m)]
    if not lazy:
        return
    names = [n for n, _ in module.named_parameters()]
    snapshot, initialised = ModuleSnapshot(module, names), [b for b in module.buffers() if not is_lazy(b)]
    values = [b.clone() for b in initialised]
    modes = [m.training for m in lazy]
    failure = ""
    first = batch()
    module.eval()
    attach(module)
    module.log = done  # type: ignore[method-assign]
    for run in _runs(module, first):
        try:
            with silent(), torch.no_grad(), context():
                run()
        except InputError:
            raise
        except Exception as error:
            failure = failure or f" ({one_line(error)})"
        if not any(map(_is_lazy, lazy)):
            break
    left = [n for n, t in (*module.named_parameters(), *module.named_buffers()) if is_lazy(t)]
    if left:
        raise InputError(
            f"{type(module).__name__}: {left[0]} of a lazy layer has no shape after the training step of a batch"
            f"{failure}; give the layer its size, such as nn.Linear(12, 16), or let training_step call it."
        )
    for m, mode in zip(lazy, modes, strict=True):
        m.training = mode
    shaped = [(m, plain_attributes(m)) for m in lazy]
    snapshot.restore()
    for m, attributes in shaped:
        replace_attributes(m, attributes)
    with torch.no_grad():
        for b, value in zip(initialised, values, strict=True):
            b.copy_(value)


def _is_lazy(module: nn.Module) -> bool:
    return any(is_lazy(t) for t in (*module._parameters.values(), *module._buffers.values()) if t is not None)


def _runs(module: LightningModule, batch: Any) -> list[Callable[[], Any]]:
    """What runs the layers: the training step, unless it trains by itself, the steps of evaluation, and forward."""
    inputs = batch[0] if isinstance(batch, list | tuple) else batch
    runs: list[Callable[[], Any]] = [lambda: call_step(module, batch, 0)] if module.automatic_optimization else []
    for name in ("validation_step", "test_step"):
        if is_overridden(name, module):
            runs.append(partial(call_evaluation_step, getattr(module, name), batch, 0))
    return [*runs, lambda: module(inputs)]
