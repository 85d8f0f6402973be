"""The arguments of `client.fit` and `client.collect`. `where` is the class and the method that calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from fedlit.algorithm_trial.returned_values import check_model
from fedlit.algorithm_trial.trees import described
from fedlit.client import Client
from fedlit.errors import InputError
from fedlit.method_signatures import refused_arguments
from fedlit.model_vectors import Layout, Model


def check_fit(where: str, unknown: dict[str, Any], collects: bool) -> None:
    """
    Args:
        unknown: arguments that `fit` does not have.
        collects: a function of `client.collect` makes the call.
    """
    if collects:
        raise InputError(
            f"{where}: its function of client.collect calls client.fit, and collect trains nothing; call fit before it "
            "or after it."
        )
    if unknown:
        arguments = ", ".join(list(inspect.signature(Client.fit).parameters)[1:])
        raise InputError(f"{where}: client.fit has no argument {next(iter(unknown))}; it has {arguments}.")


def check_trainable(where: str, trainable: Model | None, layout: Layout, k: int) -> None:
    """The mask of K clients is a Model of bools, or None."""
    if trainable is None:
        return
    check_model(f"{where}: `trainable`", trainable, layout, k)
    kinds = {trainable.weights.dtype, trainable.statistics.dtype}
    if kinds != {torch.bool}:
        raise InputError(
            f"{where}: `trainable` holds {_kind(trainable.weights)} and {_kind(trainable.statistics)}; give a Model of "
            "bools, such as layout.where('head')."
        )


def check_extras(where: str, extras: Sequence[Tensor], k: int, size: int | None) -> None:
    """
    Args:
        size: P, under an `adjust_gradient`, which is elementwise; else None.
    """
    if isinstance(extras, Tensor | dict):
        raise InputError(f"{where}: `extras` is {described(extras)}; write a tuple, such as extras=(c,).")
    for number, value in enumerate(extras):
        name = f"{where}: extras[{number}]"
        if not isinstance(value, Tensor):
            advice = " such as x.weights" if isinstance(value, Model) else ""
            raise InputError(f"{name} is {described(value)}; pass tensors{advice}.")
        if value.dim() > 1 and len(value) not in (1, k):
            raise InputError(
                f"{name} has shape {tuple(value.shape)}, and its first axis has to be the {k} client{'s' * (k > 1)} of "
                "the chunk; write table.expand(len(client.examples), *table.shape) for a table that all clients share."
            )
        if size is not None and (value.dim() not in (1, 2) or value.shape[-1] not in (1, size)):
            raise InputError(
                f"{name} has shape {tuple(value.shape)}; under adjust_gradient an extra is (K, P), (P,) or (K, 1), "
                f"P = {size}."
            )


def check_carry(where: str, carry: dict[str, Tensor] | None, k: int, used: bool) -> None:
    """
    Args:
        used: the fit has a `gradient_fn`.
    """
    if carry is None:
        return
    if not isinstance(carry, dict):
        raise InputError(f"{where}: `carry` is {described(carry)}; write a dict, such as carry={{'v': v}}.")
    for name, value in carry.items():
        if not isinstance(value, Tensor) or (value.dim() > 1 and len(value) not in (1, k)):
            raise InputError(f"{where}: carry[{name!r}] is {described(value)}; give a tensor (K, ...).")
        if value.shape == (k,) and k > 1:
            raise InputError(f"{where}: carry[{name!r}] is {described(value)}; a number a client is (K, 1).")
    if carry and not used:
        raise InputError(
            f"{where}: `carry` is changed by a gradient_fn, and client.fit gets none; leave carry out, or write "
            "gradient_fn=f, where f returns the gradient and the new values of carry."
        )


def check_arguments(
    name: str,
    function: Callable[..., Any],
    first: Sequence[str],
    extras: Sequence[Tensor],
    carry: Iterable[str] = (),
) -> None:
    """A function can be called as the contract says.

    Args:
        name: of the function, with `where`.
        first: what stands for its first arguments.
    """
    positional = [*first, *(f"extras[{number}]" for number in range(len(extras)))]
    taken = refused_arguments(function, positional, list(carry))
    if taken is not None:
        called = ", ".join([*positional, *(f"{carried}=..." for carried in carry)])
        raise InputError(f"{name} takes ({taken}), and it is called with ({called}).")


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
