"""A snapshot of a module before training: what one client's training leaves on it must not reach the next client.

One module object serves all clients of a worker. Weights, statistics and counters are loaded for each client. The
snapshot restores the rest: Python attributes (a step counter, a torchmetric, hooks, hyperparameters), frozen parameters
that a step changed in place (the teacher of a self-supervised method), layers that a hook replaced or added,
`requires_grad`, and training modes.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from fedlit.torch_compat import WrappedHook, is_batched
from fedlit.user_module.module_structure import ModuleStructure

AnyModule = TypeVar("AnyModule", bound=nn.Module)

_TENSOR_DICTS = ("_parameters", "_buffers", "_modules")  # never replaced: optimisers and layouts hold their contents
_SET_BY_FITS = ("_trainer", "log", "round")
_RECOMPUTED_BY_RNNS = ("_flat_weights", "_flat_weight_refs")
_MISSING = object()
_GENERATOR_STATES: dict[Any, Any] = {  # kind of generator -> its state
    random.Random: lambda g: g.getstate(),
    np.random.Generator: lambda g: g.bit_generator.state,
    np.random.RandomState: lambda g: g.get_state(legacy=False)["state"]["pos"],
    torch.Generator: lambda g: g.get_state().tolist(),
}
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_PLAIN = (int, float, str, bool, bytes, complex, type(None), type, torch.dtype, torch.device, torch.Size)


class ModuleSnapshot:
    """
    Args:
        loaded: names of the parameters that are loaded for each client.

    Attributes:
        structure: of the module.
        frozen: name -> value of the other parameters.
    """

    def __init__(self, module: nn.Module, loaded: Collection[str] | None = None):
        self.module, self.structure = module, ModuleStructure(module)
        parameters = dict(module.named_parameters())
        if loaded is None:
            loaded = {n for n, p in parameters.items() if p.requires_grad}
        self.frozen = {n: p.detach().clone() for n, p in parameters.items() if n not in loaded}
        tensors: list[Any] = [*module.parameters(), *module.buffers()]
        # memo of deep copies: a copied attribute keeps pointing at the module's own tensors and submodules
        self._shared = {id(part): part for part in [*tensors, *module.modules()]}
        memo = dict(self._shared)
        self._attributes = [(m, _Attributes(plain_attributes(m), memo)) for m in module.modules()]
        self._requires_grad = [(p, p.requires_grad) for p in module.parameters()]
        self._frozen = [(parameters[n], value) for n, value in self.frozen.items()]
        self._empty_buffers = [(m, n) for m in module.modules() for n, b in m._buffers.items() if b is None]

    @torch.no_grad()
    def restore(self) -> None:
        """Restore everything except weights, statistics and counters."""
        self.structure.restore()
        memo = dict(self._shared)
        for module, attributes in self._attributes:
            replace_attributes(module, attributes.copied(memo))
        for parameter, flag in self._requires_grad:
            parameter.requires_grad_(flag)
            parameter.grad = None
        for parameter, value in self._frozen:
            parameter.copy_(value)  # always: a write through `.data` cannot be detected
        for module, name in self._empty_buffers:
            module._buffers[name] = None

    @contextmanager
    def put_aside(self) -> Iterator[None]:
        """While open, everything but weights, statistics and counters is as in the snapshot; on exit it is as before.

        The fit of a client may be running. Its attributes, flags and gradients are kept by reference, because the block
        gets copies of the snapshot's.
        """
        attributes = [(module, plain_attributes(module)) for module, _ in self._attributes]
        flags = [(p, p.requires_grad, p.grad) for p, _ in self._requires_grad]
        frozen = [(p, p.detach().clone()) for p, _ in self._frozen]
        empty = [(module._buffers, name, module._buffers[name]) for module, name in self._empty_buffers]
        self.restore()
        try:
            yield
        finally:
            for module, values in attributes:
                replace_attributes(module, values)
            for parameter, flag, gradient in flags:
                parameter.requires_grad_(flag)
                parameter.grad = gradient
            with torch.no_grad():
                for parameter, value in frozen:
                    parameter.copy_(value)
            for buffers, name, buffer in empty:
                buffers[name] = buffer

    def changed(self) -> list[str]:
        """Names of attributes and frozen parameters that differ from the snapshot, as far as values can be compared."""
        names = {id(m): n for n, m in self.module.named_modules()}
        recomputed = recomputed_attributes(self.module)
        changed = [
            f"{type(module).__name__}.{name}"
            for module, attributes in self._attributes
            for name in {**attributes.values, **plain_attributes(module)}
            if name not in _SET_BY_FITS and (names[id(module)], name) not in recomputed
            if differ(attributes.values.get(name, _MISSING), vars(module).get(name, _MISSING))
        ]
        changed += [] if self.structure.is_unchanged() else ["the layers"]
        changed += [f"{type(m).__name__}.{n}" for m, n in self._empty_buffers if m._buffers[n] is not None]
        parameters = {id(p): n for n, p in self.module.named_parameters()}
        changed += [parameters[id(p)] for p, value in self._frozen if not torch.equal(p, value)]
        return changed + [
            f"requires_grad of {parameters[id(p)]}" for p, flag in self._requires_grad if p.requires_grad != flag
        ]


class _Attributes:
    """The attributes of one module: `values`, and copies of them.

    Args:
        memo: of deep copies. Objects that refer to one object refer to one copy, also those of several modules.
    """

    def __init__(self, attributes: dict[str, Any], memo: dict[int, Any]):
        self._constant = {name: value for name, value in attributes.items() if isinstance(value, _PLAIN)}
        # torch's dicts of hooks, most of which are empty
        self._empty = {n: type(v) for n, v in attributes.items() if n in _OF_EVERY_MODULE and v in ({}, set())}
        others = {n: v for n, v in attributes.items() if n not in self._constant and n not in self._empty}
        self._others = _deep_copied(others, memo)
        self.values = self._constant | {name: kind() for name, kind in self._empty.items()} | self._others

    def copied(self, memo: dict[int, Any]) -> dict[str, Any]:
        empty = {name: kind() for name, kind in self._empty.items()}
        return {**self._constant, **empty, **_deep_copied(self._others, memo)}


def _deep_copied(values: dict[str, Any], memo: dict[int, Any]) -> dict[str, Any]:
    copies = {}
    for name, value in values.items():
        try:
            copies[name] = copy.deepcopy(value, memo)
        except Exception:  # an object that cannot be copied (a lock, an open file) is shared by the clients
            copies[name] = value
    return copies


def plain_attributes(module: nn.Module) -> dict[str, Any]:
    """The attributes of a module, without its dicts of tensors and submodules."""
    return {name: value for name, value in vars(module).items() if name not in _TENSOR_DICTS}


def replace_attributes(module: nn.Module, attributes: dict[str, Any]) -> None:
    current = vars(module)
    for name in [n for n in current if n not in attributes and n not in _TENSOR_DICTS]:
        del current[name]
    current.update(attributes)


def recomputed_attributes(module: nn.Module) -> set[tuple[str, str]]:
    """(submodule's name, attribute) that some of torch's layers compute in each forward pass: they carry nothing from
    step to step.

    A recurrent layer lists its weights whenever they are not those of the last call. The older spectral_norm and
    weight_norm, and pruning, store the computed weight on the layer.
    """
    attributes = set()
    for name, part in module.named_modules():
        if isinstance(part, nn.RNNBase):
            attributes |= {(name, attribute) for attribute in _RECOMPUTED_BY_RNNS}
        hooks = part._forward_pre_hooks.values()
        attributes |= {(name, hook.name) for hook in hooks if isinstance(hook, (SpectralNorm, WeightNorm))}
        attributes |= {(name, hook._tensor_name) for hook in hooks if isinstance(hook, BasePruningMethod)}
    return attributes


def differ(before: Any, after: Any, depth: int = 4) -> bool:
    """Whether two values differ. Values of one type that cannot be compared count as equal."""
    if type(before) is not type(after):
        return True
    if isinstance(after, Tensor):
        if before.shape != after.shape or before.device != after.device or is_batched(after):
            return True
        return not torch.equal(before, after)
    if isinstance(after, WrappedHook):  # a copy of one has fewer attributes
        return differ(before.hook, after.hook, depth)
    if isinstance(after, dict):
        return before.keys() != after.keys() or any(differ(before[k], v, depth) for k, v in after.items())
    if isinstance(after, list | tuple | deque):
        return len(before) != len(after) or any(differ(a, b, depth) for a, b in zip(before, after, strict=True))
    if isinstance(after, np.ndarray):
        return not np.array_equal(before, after)
    if isinstance(after, (*_PLAIN, set, frozenset)):
        return bool(before != after) and bool(before == before or after == after)  # NaN equals NaN here
    for kind, state in _GENERATOR_STATES.items():
        if isinstance(after, kind):
            return repr(state(before)) != repr(state(after))
    if isinstance(after, nn.Module):  # a submodule is itself; a module may also be hidden in a list
        return before is not after and differ(dict(before.state_dict()), dict(after.state_dict()))
    if not depth or before is after:
        return False
    if isinstance(getattr(after, "__dict__", None), dict):
        return differ(vars(before), vars(after), depth - 1)
    return differ(_contents(before), _contents(after), depth - 1)


def _contents(value: Any) -> Any:
    """What pickle would save of an object without a `__dict__` (an iterator, a class with slots)."""
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:
        return None
    return reduced if isinstance(reduced, str) else list(reduced[1:])


def counters(module: nn.Module) -> dict[str, Tensor]:
    """Copies of the module's integer and bool buffers, by name."""
    return {n: b.detach().clone() for n, b in module.named_buffers() if not (b.is_floating_point() or b.is_complex())}


def copied(module: AnyModule) -> AnyModule:
    """A deep copy. The older weight_norm stores a computed weight on its layer, which torch refuses to copy."""
    computed = [v for m in module.modules() for v in vars(m).values() if torch.is_tensor(v) and not v.is_leaf]
    return copy.deepcopy(module, {id(t): t.detach().clone() for t in computed})
