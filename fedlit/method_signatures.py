"""Whether the methods of a user's class, and functions that it passes on, take the arguments of their contract."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from fedlit.errors import InputError


def check_methods(value: Any, contract: type) -> None:
    """
    Args:
        value: of a subclass of `contract`.

    Raises:
        InputError: a method takes other arguments than those it is called with.
    """
    for method, of_contract in vars(contract).items():
        is_method = inspect.isfunction(of_contract) and (method == "__call__" or not method.startswith("_"))
        overridden = getattr(value, method)
        if not is_method or getattr(overridden, "__func__", None) is of_contract:
            continue
        parameters = list(inspect.signature(of_contract).parameters)
        taken = refused_arguments(overridden, parameters[1:])
        if taken is not None:
            raise InputError(
                f"{type(value).__name__}.{method} takes ({taken}), and it is called with "
                f"({', '.join(parameters[1:])}); write: def {method}({', '.join(parameters)})."
            )


def refused_arguments(function: Callable[..., Any], positional: Sequence[str], named: Sequence[str] = ()) -> str | None:
    """The parameters of a function that cannot be called with these arguments, such as "step, w"; None if it can be.

    Args:
        positional: what stands for the positional arguments.
        named: names of keyword arguments.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:  # no signature that Python can read
        return None
    try:
        signature.bind(*positional, **dict.fromkeys(named))
    except TypeError:
        return ", ".join(str(p).partition(":")[0].partition("=")[0] for p in signature.parameters.values())
    return None
