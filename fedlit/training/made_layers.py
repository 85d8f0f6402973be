"""The layers of a module, made once before anything reads them, by `setup` and `configure_model`.

Draws are of the global generators as the run or `ModuleCopy.restore` has left them, so all processes and a resumed run
make the same weights.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.nn.parameter import is_lazy

from fedlit.global_generators import isolated_generators, preserved_cpu_generators
from fedlit.quiet import quiet, silent
from fedlit.user_module.module_snapshot import copied
from fedlit.user_module.tensor_state import TensorState

Attach = Callable[[LightningModule], None]
"""Gives a module its trainer."""


def make_layers(module: LightningModule, attach: Attach) -> None:
    """Call prepare_data, setup and configure_model in the order of a Trainer.

    Each fit calls setup again, because it may read facts of its client; the layers remain those of the first call. The
    other two do nothing from now on.
    """
    initial = {n for n, _ in module.named_parameters()}
    for hook in ("prepare_data", "setup", "configure_model"):
        if is_overridden(hook, module):
            attach(module)
            if hook == "setup":
                module.setup = partial(_setup, module, _takes_stage(module.setup), False)  # type: ignore[method-assign]
            with quiet():
                getattr(module, hook)(*(("fit",) if hook == "setup" else ()))
            if hook != "setup":
                setattr(module, hook, done)
    if is_overridden("setup", module):
        module.setup = _repeatable(module, attach, initial)  # type: ignore[method-assign]
    module.trainer = None


def done(*args: Any, **kwargs: Any) -> None:
    """In place of a hook that is called once."""


def _takes_stage(setup: Callable[..., Any]) -> bool:
    """Whether setup has an argument, of any name. Lightning calls `setup(stage=...)`."""
    return any(p.kind is not p.KEYWORD_ONLY for p in inspect.signature(setup).parameters.values())


def _setup(module: LightningModule, takes_stage: bool, keeps_layers: bool, stage: str | None = None) -> None:
    """Call the class's setup.

    Args:
        keeps_layers: undo what it does to parameters, buffers and submodules.
    """
    arguments: Any = (stage,) if takes_stage else ()
    if not keeps_layers:
        type(module).setup(module, *arguments)
        return
    state = TensorState(module)
    with preserved_cpu_generators():  # the draws were of the layers
        type(module).setup(module, *arguments)
    state.put_back()


def _repeatable(module: LightningModule, attach: Attach, initial: set[str]) -> Callable[..., None]:
    """The setup of later calls, from a call on a copy with other weights.

    A setup that would replace trained weights, or draw other frozen ones, keeps the layers. One that raises is not
    called again. A copy of trained weights, a teacher, is made in each call, and frozen if setup has made it.

    Args:
        initial: names of the parameters before the first call.
    """
    takes_stage = module.setup.args[1]  # type: ignore[attr-defined]
    keeping = partial(_setup, module, takes_stage, True)
    try:
        trial = copied(module)
    except Exception:
        return keeping
    with torch.no_grad():
        for p in trial.parameters():
            if p.requires_grad and not is_lazy(p):
                p.add_(1)
    before = {n: (p, p.detach().clone()) for n, p in trial.named_parameters() if not is_lazy(p)}
    attach(trial)
    try:
        with silent(), isolated_generators(0):
            trial.setup("fit")
    except Exception:
        return done
    now = dict(trial.named_parameters())
    trained = [p for n, p in now.items() if n in initial and n in before and before[n][0].requires_grad]
    copies = set()
    for name, (p, value) in before.items():
        current = now.get(name)
        is_same = current is p and torch.equal(p, value)
        if is_same or (current is not None and not p.requires_grad and _equal(current, value)):
            continue
        if current is None or (name in initial and p.requires_grad) or not any(_equal(current, t) for t in trained):
            return keeping
        copies.add(name)
    for name, p in module.named_parameters():
        if name in copies:
            p.requires_grad_(False)
    return module.setup


def _equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    return not is_lazy(first) and not is_lazy(second) and first.shape == second.shape and torch.equal(first, second)
