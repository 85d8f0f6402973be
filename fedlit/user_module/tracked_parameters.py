"""Whether a fit trains the parameters that are sent and averaged, and no others.

A hook can replace layers, create some, or unfreeze them. What such a fit trains would be lost without an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fedlit.errors import InputError
from fedlit.model_vectors import Layout
from fedlit.user_module.module_structure import ModuleStructure


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
        replaced = [n for n, p in self._trained.items() if current.get(n) is not p]
        replaced += [n for n, holder in self._holders.items() if modules.get(n) is not holder]
        if replaced:
            raise InputError(
                f"{type(self._module).__name__} replaces or removes {replaced[0]} in a fit, so the received weights "
                "would be lost; make the layer in __init__ or in configure_model, which is called once."
            )

    def check_frozen(self, has_drawn: Callable[[], bool]) -> None:
        """Call it when the user's setup has run.

        Args:
            has_drawn: whether random numbers were drawn in the fit so far.

        Raises:
            InputError: a layer that is not sent is made in each fit, with other random weights.
        """
        if self._structure.is_unchanged():
            return
        for name, p in self._module.named_parameters():
            if id(p) in self._trained_ids:
                continue
            first = self._frozen.setdefault(name, p.detach().clone())
            is_equal = _equal(p, first) or any(_equal(p, trained) for trained in self._trained.values())
            if not is_equal and has_drawn():
                raise InputError(
                    f"{type(self._module).__name__} makes {name} in each fit, with other random weights for each "
                    "client; make it in __init__ or in configure_model, which is called once."
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


def _equal(a: Any, b: Any) -> bool:
    return a.shape == b.shape and bool(torch.equal(a, b))
