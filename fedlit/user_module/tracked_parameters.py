"""Whether a fit trains the parameters that are sent and averaged, and no others.

A hook can replace layers, create some, or unfreeze them. What such a fit trains would be lost without an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from fedlit.errors import InputError
from fedlit.model_vectors import Layout
from fedlit.user_module.module_structure import ModuleStructure

_WAY_OUT = "make the layer in __init__ or in configure_model, which is called once"


class TrackedParameters:
    """
    Args:
        structure: of the module, as it is now.
        frozen: name -> initial value of the parameters that are in no Model.
    """

    def __init__(self, module: nn.Module, layout: Layout, structure: ModuleStructure, frozen: Mapping[str, Tensor]):
        self._module, self._structure = module, structure
        parameters = dict(module.named_parameters())
        self._trained = {n: parameters[n] for n in layout.weights}
        self._trained_ids = {id(p) for p in self._trained.values()}
        holders = {n.rpartition(".")[0] for n in [*layout.statistics, *layout.counters]}
        self._holders = {n: module.get_submodule(n) for n in holders}
        self._initially_frozen, self._frozen = set(frozen), dict(frozen)

    def check(self) -> None:
        """
        Raises:
            InputError: a layer whose weights or statistics are sent is no longer part of the module.
        """
        if self._structure.is_unchanged():
            return
        current = dict(self._module.named_parameters(remove_duplicate=False))
        modules = dict(self._module.named_modules(remove_duplicate=False))
        gone = [n for n, p in self._trained.items() if current.get(n) is not p]
        gone += [
            n for n, holder in self._holders.items() if not holder._buffers.keys() <= _buffers(modules.get(n)).keys()
        ]
        if gone:
            raise InputError(
                f"{type(self._module).__name__} replaces or removes {gone[0]} in a fit, so the received weights "
                f"would be lost; {_WAY_OUT}."
            )

    def check_setup(self, has_drawn: Callable[[], bool]) -> None:
        """As `check`, when the user's setup has run. It may make a layer that is not trained, if that layer is the same
        in each fit or a copy of a trained one.

        Args:
            has_drawn: whether random numbers were drawn in the fit so far.

        Raises:
            InputError: a new layer has other random weights in each fit, or has lost the received statistics.
        """
        if self._structure.is_unchanged():
            return
        self.check()
        for name, p in self._module.named_parameters():
            if id(p) in self._trained_ids:
                continue
            first = self._frozen.setdefault(name, p.detach().clone())
            if not _equals_one_of(p, [first, *self._trained.values()]) and has_drawn():
                raise InputError(
                    f"{type(self._module).__name__} makes {name} in each fit, with other random weights for each "
                    f"client; {_WAY_OUT}."
                )
        received = [b for holder in self._holders.values() for b in holder._buffers.values() if b is not None]
        for name, holder in self._holders.items():
            for key, value in _buffers(self._module.get_submodule(name)).items():
                if value is not None and key in holder._buffers and not _equals_one_of(value, received):
                    raise InputError(
                        f"{type(self._module).__name__} makes {name} in each fit, and its received {key} is lost; "
                        f"{_WAY_OUT}."
                    )

    def check_stepped(self, parameters: Sequence[Tensor]) -> None:
        """
        Args:
            parameters: those that an optimiser steps, with their gradients.

        Raises:
            InputError: one of them is in no Model.
        """
        others = [p for p in parameters if id(p) not in self._trained_ids]
        if not others:
            return
        module = type(self._module).__name__
        name = {id(p): n for n, p in self._module.named_parameters()}.get(id(others[0]))
        if name is None:
            raise InputError(
                f"{module}: its optimiser trains a tensor of shape {tuple(others[0].shape)} that is no parameter of "
                "the module, so it would not be sent; register it, as an nn.ParameterList does."
            )
        if name in self._initially_frozen:
            raise InputError(
                f"{module} trains {name}, which was frozen when the run began and in a short trial, so it would not be "
                "sent; leave it unfrozen in __init__ and freeze it in configure_optimizers."
            )
        raise InputError(
            f"{module} trains {name}, which is created in a fit and would not be sent; create it in __init__ or in "
            "configure_model."
        )


def _buffers(module: nn.Module | None) -> dict[str, Tensor | None]:
    return {} if module is None else module._buffers


def _equals_one_of(tensor: Tensor, others: Iterable[Tensor]) -> bool:
    return any(tensor.shape == other.shape and torch.equal(tensor, other) for other in others)
