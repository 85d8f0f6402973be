"""A module as it was before any client: what one client's training leaves on it must not reach the next.

One module object serves all clients of a worker. Weights, statistics and counters are written anew for each; this puts
back the rest: Python attributes (a step counter, a torchmetric, hooks, hyperparameters), frozen parameters that a step
changed in place (the teacher of a self-supervised method), which parameters require a gradient, and the modes.
"""

from __future__ import annotations

import copy
import random
from collections import OrderedDict, deque
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._C._functorch import is_batchedtensor
from torch.nn.modules.module import _WrappedHook

from fedlit.user_module.derived import derived_attributes

_TENSORS = ("_parameters", "_buffers", "_modules")  # never exchanged: optimisers and layouts point at these objects
_OWN = ("_trainer", "log", "round")  # what a fit sets on it
_NONE = object()  # no such attribute
_GENERATORS: dict[Any, Any] = {  # kind -> where it stands
    random.Random: lambda g: g.getstate(),
    np.random.Generator: lambda g: g.bit_generator.state,
    np.random.RandomState: lambda g: g.get_state(legacy=False)["state"]["pos"],
    torch.Generator: lambda g: g.get_state().tolist(),
}
_PLAIN = (int, float, str, bool, bytes, complex, type(None), type, torch.dtype, torch.device, torch.Size)


class ModuleSnapshot:
    def __init__(self, module: nn.Module):
        self.module = module
        tensors: list[Any] = [*module.parameters(), *module.buffers()]
        # a deep copy of an attribute keeps pointing at the module's own parts
        self._own = {id(t): t for t in [*tensors, *module.modules()]}
        self._attributes = [(m, self._copied(self._rest(m))) for m in module.modules()]
        self._requires_grad = [(p, p.requires_grad) for p in module.parameters()]
        self._frozen = [(p, p.detach().clone()) for p in module.parameters() if not p.requires_grad]
        self._empty = [(m, n) for m in module.modules() for n, b in m._buffers.items() if b is None]

    @staticmethod
    def _rest(module: nn.Module) -> dict[str, Any]:
        return {k: v for k, v in vars(module).items() if k not in _TENSORS}

    def _copied(self, attributes: dict[str, Any]) -> dict[str, Any]:
        memo = dict(self._own)

        def one(value: Any) -> Any:
            if isinstance(value, _PLAIN):
                return value
            if type(value) in (dict, OrderedDict) and not value:  # most of what a module has: no hooks
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
        for parameter, value in self._frozen:
            parameter.copy_(value)  # whether or not it changed: writing through `.data` leaves no trace to ask for
        for module, name in self._empty:
            module._buffers[name] = None

    def changed(self) -> list[str]:
        """What is not as it was, by name, of all that `restore` puts back and as far as values can be compared."""
        names = {id(m): n for n, m in self.module.named_modules()}
        derived = derived_attributes(self.module)
        found = [
            f"{type(module).__name__}.{name}"
            for module, attributes in self._attributes
            for name in {**attributes, **self._rest(module)}
            if name not in _OWN and (names[id(module)], name) not in derived
            if differ(attributes.get(name, _NONE), vars(module).get(name, _NONE))
        ]
        found += [f"{type(m).__name__}.{n}" for m, n in self._empty if m._buffers[n] is not None]
        parameters = {id(p): n for n, p in self.module.named_parameters()}
        found += [parameters[id(p)] for p, value in self._frozen if not torch.equal(p, value)]
        return found + [f"requires_grad of {parameters[id(p)]}" for p, f in self._requires_grad if p.requires_grad != f]


def differ(before: Any, now: Any, deep: int = 4) -> bool:
    """Cautious: what cannot be compared is as it was, unless it is another kind of thing."""
    if type(before) is not type(now):
        return True
    if isinstance(now, Tensor):
        return before.shape != now.shape or is_batchedtensor(now) or not torch.equal(before, now)
    if isinstance(now, _WrappedHook):  # a copy of one has fewer attributes
        return differ(before.hook, now.hook, deep)
    if isinstance(now, dict):
        return before.keys() != now.keys() or any(differ(before[k], v, deep) for k, v in now.items())
    if isinstance(now, list | tuple | deque):
        return len(before) != len(now) or any(differ(a, b, deep) for a, b in zip(before, now, strict=True))
    if isinstance(now, np.ndarray):
        return not np.array_equal(before, now)
    if isinstance(now, (*_PLAIN, set, frozenset)):
        return bool(before != now) and bool(before == before or now == now)  # nan stays nan
    for kind, state in _GENERATORS.items():
        if isinstance(now, kind):
            return repr(state(before)) != repr(state(now))
    if isinstance(now, nn.Module):  # a part of the module is itself; another one may be hidden in a list
        return before is not now and differ(dict(before.state_dict()), dict(now.state_dict()))
    if not deep or before is now:
        return False
    if isinstance(getattr(now, "__dict__", None), dict):
        return differ(vars(before), vars(now), deep - 1)
    return differ(_contents(before), _contents(now), deep - 1)


def _contents(value: Any) -> Any:
    """What a thing without attributes in a dict (an iterator, one with slots) would be pickled as."""
    try:
        found = value.__reduce_ex__(4)
    except Exception:
        return None
    return found if isinstance(found, str) else list(found[1:])


def counters(module: nn.Module) -> dict[str, Tensor]:
    """Copies of the module's integer and bool buffers, by name."""
    return {n: b.detach().clone() for n, b in module.named_buffers() if not b.is_floating_point()}
