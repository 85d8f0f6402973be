"""A module as it was before any client: what one client's training leaves on it must not reach the next.

One module object serves all clients of a worker. Weights, statistics and counters are written anew for each; this puts
back the rest: Python attributes (a step counter, a torchmetric, hooks, hyperparameters), frozen parameters that a step
changed in place (the teacher of a self-supervised method), which parameters require a gradient, and the modes.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from fedlit.modules.derived import derived_attributes

_TENSORS = ("_parameters", "_buffers", "_modules")  # never exchanged: optimisers and layouts point at these objects
_OWN = ("_trainer", "log", "round", "training")  # what a fit sets on it
_NONE = object()  # no such attribute
_PLAIN = (int, float, str, bool, bytes, complex, type(None), type, torch.dtype, torch.device, torch.Size)


class Pristine:
    def __init__(self, module: nn.Module):
        self.module = module
        tensors: list[Any] = [*module.parameters(), *module.buffers()]
        # a deep copy of an attribute keeps pointing at the module's own parts
        self._own = {id(t): t for t in [*tensors, *module.modules()]}
        self._attributes = [(m, self._copied(self._rest(m))) for m in module.modules()]
        self._requires_grad = [(p, p.requires_grad) for p in module.parameters()]
        self._frozen = [(p, p.detach().clone(), p._version) for p in module.parameters() if not p.requires_grad]

    @staticmethod
    def _rest(module: nn.Module) -> dict[str, Any]:
        return {k: v for k, v in vars(module).items() if k not in _TENSORS}

    def _copied(self, attributes: dict[str, Any]) -> dict[str, Any]:
        memo = dict(self._own)

        def one(value: Any) -> Any:
            if isinstance(value, _PLAIN):
                return value
            if not value and type(value) in (dict, OrderedDict):  # most of what a module has: no hooks
                return type(value)()
            try:
                return copy.deepcopy(value, memo)
            except Exception:  # a thing that cannot be copied (a lock, an open file) is shared by the clients
                return value

        return {k: one(v) for k, v in attributes.items()}

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back but weights, statistics and counters."""
        for module, attributes in self._attributes:
            now = vars(module)
            for name in [k for k in now if k not in attributes and k not in _TENSORS]:
                del now[name]
            now.update(self._copied(attributes))
        for parameter, flag in self._requires_grad:
            parameter.requires_grad_(flag)
            parameter.grad = None
        for at, (parameter, value, version) in enumerate(self._frozen):
            if parameter._version != version:
                parameter.copy_(value)
                self._frozen[at] = (parameter, value, parameter._version)

    def changed(self) -> list[str]:
        """Names of the attributes that are not as they were, as far as values can be compared."""
        names = {id(m): n for n, m in self.module.named_modules()}
        derived = derived_attributes(self.module)
        return [
            f"{type(module).__name__}.{name}"
            for module, attributes in self._attributes
            for name in {**attributes, **self._rest(module)}
            if name not in _OWN and (names[id(module)], name) not in derived
            if _differ(attributes.get(name, _NONE), vars(module).get(name, _NONE))
        ]


def _differ(before: Any, now: Any) -> bool:
    if type(before) is not type(now):
        return True
    if isinstance(now, Tensor):
        return before.shape != now.shape or not torch.equal(before, now)
    if isinstance(now, dict):
        return before.keys() != now.keys() or any(_differ(before[k], v) for k, v in now.items())
    if isinstance(now, list | tuple):
        return len(before) != len(now) or any(_differ(a, b) for a, b in zip(before, now, strict=True))
    return isinstance(now, _PLAIN) and before != now


def counters(module: nn.Module) -> dict[str, Tensor]:
    """Copies of the module's integer and bool buffers, by name."""
    return {n: b.detach().clone() for n, b in module.named_buffers() if not b.is_floating_point()}
