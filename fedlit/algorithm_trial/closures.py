"""Tensors of clients that a function reads from the scope around it, in place of `extras`."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from fedlit.algorithm_trial.trees import described
from fedlit.model_vectors import Model


def client_tensors(function: Any, k: int) -> list[str]:
    """The tensors (k, ...) that a function has from its closure, its defaults or `functools.partial`, in words."""
    return [f"{name}, {described(value)}," for name, value in _scope(function, 3) if _of_clients(value, k)]


def _of_clients(value: Any, k: int) -> bool:
    if isinstance(value, Mapping):
        return any(_of_clients(inner, k) for inner in value.values())
    if isinstance(value, Model):
        return _of_clients(value.weights, k)
    return isinstance(value, Tensor) and value.dim() > 1 and len(value) == k


def _scope(function: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """The names and values of a function's scope, with those of the functions in it."""
    if not depth:
        return
    if isinstance(function, functools.partial):
        values = {f"argument {i}": v for i, v in enumerate(function.args)} | function.keywords
        yield from _scope(function.func, depth - 1)
    else:
        function = getattr(function, "__func__", function)
        code = getattr(function, "__code__", None)
        if code is None:
            return
        values = dict(getattr(function, "__kwdefaults__", None) or {})
        defaults = function.__defaults__ or ()
        if defaults:
            values |= dict(zip(code.co_varnames[code.co_argcount - len(defaults) :], defaults, strict=False))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                values[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
    for name, value in values.items():
        yield name, value
        if callable(value):
            yield from _scope(value, depth - 1)
