"""Which of several fits of a round trained the model that is sent: its loss is `train/loss`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fedlit.messages.wire import flatten_message
from fedlit.model_vectors import Model

_COLUMNS = 4096  # of a vector that are compared
_LIKE = 0.9  # least |cosine| of similar vectors
_ELEMENTS = 64  # of a shorter vector that are looked for in a longer one


@dataclass
class FitRecord:
    """One fit of K clients.

    Attributes:
        start, model: the weights before and after it.
        trainable: the mask of the fit.
        losses: K mean training losses.
        logged: K dicts of the values that the step logged.
        counters: (K, ...) integer buffers after the fit, by name.
    """

    start: Model
    model: Model
    trainable: Model | None
    losses: Sequence[float]
    logged: Sequence[dict[str, float]]
    counters: dict[str, Tensor] = field(default_factory=dict)


def sent_fit(message: dict[str, Any], received: dict[str, Any], fits: Sequence[FitRecord]) -> int:
    """The position of the fit that trained the model of a message: a vector of it equals the weights w after the fit or
    their change w - w_0 since the start of this or an earlier fit, or has the largest |cosine| with one of these.

    A vector under "delta" decides where there is one. Where no vector is like a fit's (noise, compression), it is the
    fit that began at a received model. Of equals it is the last.
    """
    if len(fits) < 2:
        return len(fits) - 1
    vectors = _vectors({"delta": message["delta"]}) if "delta" in message else []
    likeness = [_score(vectors or _vectors(message), fits, i) for i in range(len(fits))]
    starts = [any(_are_equal(fit.start.weights, t) for t in flatten_message(received).values()) for fit in fits]
    return max(range(len(fits)), key=lambda i: (likeness[i] >= _LIKE and likeness[i], starts[i], likeness[i], i))


def _vectors(message: dict[str, Any]) -> list[Tensor]:
    """The floating tensors (K, n) of a message, without the statistics of models."""
    return [
        tensor
        for name, tensor in flatten_message(message).items()
        if not name.endswith(".statistics") and torch.is_tensor(tensor) and tensor.is_floating_point()
        if tensor.dim() == 2 and tensor.shape[1] > 1
    ]


def _are_equal(weights: Tensor, value: Any) -> bool:
    return torch.is_tensor(value) and value.dtype == weights.dtype and torch.equal(weights, value)


def _score(vectors: Sequence[Tensor], fits: Sequence[FitRecord], i: int) -> float:
    """2 where a vector equals a candidate, else the largest likeness, 0 to 1."""
    weights = fits[i].model.weights
    trained = [weights, *(weights - fit.start.weights for fit in fits[: i + 1])]
    masks = [fit.trainable.weights for fit in fits if fit.trainable is not None]
    scores = [_likeness(vector, candidate, masks) for vector in vectors for candidate in trained]
    return max(scores, default=0.0)


def _likeness(vector: Tensor, trained: Tensor, masks: Sequence[Tensor]) -> float:
    for part in _parts(trained, vector.shape[1], masks):
        stride = -(-vector.shape[1] // _COLUMNS)
        a, b = (t[:, ::stride].double().flatten() for t in (vector, part.to(vector.dtype)))
        if torch.equal(a, b):
            return 2.0
        return float((a @ b).abs() / (a.norm() * b.norm()).clamp_min(1e-300))
    row = int(vector.abs().amax(1).argmax())
    elements = vector[row][vector[row] != 0]
    elements = elements[:: max(1, len(elements) // _ELEMENTS)]
    if not len(elements) or vector.shape[1] > trained.shape[1]:
        return 0.0
    shares = [(trained[row] == element).any() for element in elements]  # a part of the vector, at positions not known
    return float(torch.stack(shares).double().mean())


def _parts(trained: Tensor, width: int, masks: Sequence[Tensor]) -> Iterator[Tensor]:
    """The vector (K, P), or the parts of it of this width that a fit trained."""
    if trained.shape[1] == width:
        yield trained
    yield from (trained[:, mask] for mask in masks if mask.dim() == 1 and int(mask.sum()) == width)
