"""Torch's dropout functions and its randomized leaky ReLU, with keyed draws. Arguments and results are torch's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fedlit.keyed_random.counter_rng import CounterRng, Shape

_SELU_FLOOR = 1.7580993408473766  # SELU tends to minus this at minus infinity


def dropout(rng: CounterRng, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return _dropped(rng, input, input.shape, p, training, inplace)


def _dropped(rng: CounterRng, input: Tensor, shape: Shape, p: float, training: bool, inplace: bool) -> Tensor:
    """Zero with probability p, else x / (1 - p).

    Args:
        shape: of the draws; it broadcasts to the input's shape.
    """
    _check(p)
    if not training or p == 0:
        return input
    kept = input * rng.keep(shape, p, input.device)
    return _result(input, kept / (1 - p) if p < 1 else kept, inplace)


def _alpha(rng: CounterRng, input: Tensor, shape: Shape, p: float, training: bool, inplace: bool) -> Tensor:
    """Alpha dropout (Klambauer et al. 2017): keeps mean 0 and variance 1.

    a (x d + alpha' (1 - d)) + b with d = 0 with probability p, else 1; alpha' is SELU's limit at minus infinity,
    a = ((1 - p) (1 + p alpha'^2))^(-1/2) and b = -a p alpha'.
    """
    _check(p)
    if not training or p == 0:
        return input
    keep = rng.keep(shape, p, input.device)
    if p == 1:
        return _result(input, input * keep, inplace)
    scale = ((1 - p) * (1 + p * _SELU_FLOOR**2)) ** -0.5
    return _result(input, torch.where(keep, input, -_SELU_FLOOR) * scale + scale * _SELU_FLOOR * p, inplace)


def _channels(input: Tensor, lead: int) -> tuple[int, ...]:
    """The shape of one draw a channel, where the first `lead` axes number the channels."""
    return (*input.shape[:lead], *(1,) * (input.dim() - lead))


def _dropout1d(rng: CounterRng, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return _dropped(rng, input, _channels(input, input.dim() - 1), p, training, inplace)


def _dropout2d(rng: CounterRng, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return _dropped(rng, input, _channels(input, 2), p, training, inplace)  # 3 axes are (N, C, L) in torch


def _dropout3d(rng: CounterRng, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return _dropped(rng, input, _channels(input, input.dim() - 3), p, training, inplace)


def _alpha_dropout(
    rng: CounterRng, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    return _alpha(rng, input, input.shape, p, training, inplace)


def _feature_alpha_dropout(
    rng: CounterRng, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    return _alpha(rng, input, _channels(input, 2), p, training, inplace)


def _rrelu(
    rng: CounterRng,
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
    generator: torch.Generator | None = None,
) -> Any:
    if not training or generator is not None:
        return NotImplemented
    slope = lower + (upper - lower) * rng.uniform(input.shape, input.dtype, input.device)
    return _result(input, torch.where(input > 0, input, input * slope), inplace)


def _in_torch(keyed: Callable[..., Tensor], inplace: bool = False) -> Callable[..., Tensor]:
    """As the function of the same name in `torch`, with the argument `train` in place of `training`."""

    def call(rng: CounterRng, input: Tensor, p: float, train: bool) -> Tensor:
        return keyed(rng, input, p, train, inplace)

    return call


def _check(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _result(input: Tensor, value: Tensor, inplace: bool) -> Tensor:
    return input.copy_(value) if inplace else value


DROPOUTS: dict[Any, Callable[..., Any]] = {
    F.dropout: dropout,
    F.dropout1d: _dropout1d,
    F.dropout2d: _dropout2d,
    F.dropout3d: _dropout3d,
    F.alpha_dropout: _alpha_dropout,
    F.feature_alpha_dropout: _feature_alpha_dropout,
    torch.dropout: _in_torch(dropout),
    torch.dropout_: _in_torch(dropout, inplace=True),
    torch.feature_dropout: _in_torch(_dropout2d),
    torch.feature_dropout_: _in_torch(_dropout2d, inplace=True),
    torch.alpha_dropout: _in_torch(_alpha_dropout),
    torch.alpha_dropout_: _in_torch(_alpha_dropout, inplace=True),
    torch.feature_alpha_dropout: _in_torch(_feature_alpha_dropout),
    torch.feature_alpha_dropout_: _in_torch(_feature_alpha_dropout, inplace=True),
    F.rrelu: _rrelu,
    torch.rrelu: _rrelu,
    torch.rrelu_: partial(_rrelu, inplace=True),
}
