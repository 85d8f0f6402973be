"""Which of several fits of a round trained the model that is sent: its loss is `train/loss`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fedlit.messages.wire import flatten_message
from fedlit.model_vectors import Model

_COLUMNS = 4096  # of a vector that are compared
_SCALED = 1 - 1e-6  # least |cosine| of vectors that differ by a factor and by rounding
_LEAST = 4  # elements of a vector by which a factor is known
_ELEMENTS = 16  # of a shorter vector that are looked for in a longer one


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
    """The position of the last fit whose weights w, or change of weights w - w_0, the message holds as they are; else
    scaled; else of the last fit that began at a received model.

    w_0 is where this or an earlier fit began. A message may hold a part of the positions, and zeros at others; each
    client has a factor of its own. A vector under "delta" decides where there is one.
    """
    vectors = _vectors({"delta": message["delta"]} if "delta" in message else message)
    starts = [_began_at(fit.start.weights, received) for fit in fits]
    likeness = [max((_likeness(vector, fits, i) for vector in vectors), default=0.0) for i in range(len(fits))]
    return max(range(len(fits)), key=lambda i: (likeness[i], starts[i], i))


def _vectors(message: dict[str, Any]) -> list[Tensor]:
    """The floating tensors (K, n) of a message, without the statistics of models."""
    return [
        tensor
        for name, tensor in flatten_message(message).items()
        if not name.endswith(".statistics") and torch.is_tensor(tensor) and tensor.is_floating_point()
        if tensor.dim() == 2 and tensor.shape[1] > 1
    ]


def _began_at(start: Tensor, received: dict[str, Any]) -> bool:
    return any(_holds(start, vector.expand(len(start), -1)) for vector in _vectors(received))


def _likeness(vector: Tensor, fits: Sequence[FitRecord], i: int) -> float:
    """2 where the vector is weights or a change of weights of the fit, or a part of it; near 1 where it is scaled; else
    0. Positions that the fit did not change are not those of the model that it trained."""
    weights = fits[i].model.weights
    masks: list[slice | Tensor] = [slice(None), *(fit.trainable.weights for fit in fits if fit.trainable is not None)]
    changed = weights != fits[i].start.weights
    likeness = [0.0]
    for candidate in (weights, *(weights - fit.start.weights for fit in fits[: i + 1])):
        parts = [mask for mask in masks if isinstance(mask, slice) or mask.dim() == 1]
        parts = [mask for mask in parts if candidate[:, mask].shape == vector.shape]
        likeness += [_compared(vector, candidate[:, mask]) for mask in parts if bool(changed[:, mask].any())]
        if not parts and _holds(candidate, vector):
            likeness.append(2.0)
    return max(likeness)


def _compared(vector: Tensor, candidate: Tensor) -> float:
    """2 where the vectors (K, n) agree where the first is not zero, near 1 where they do in each row up to a factor."""
    stride = -(-vector.shape[1] // _COLUMNS)
    a, b = vector[:, ::stride].double(), candidate[:, ::stride].to(vector.dtype).double()
    sent = (a != 0).any(1)  # zeros are sent for a client without a step
    a, b = a[sent], torch.where(a != 0, b, 0)[sent]
    if not len(a) or int((a != 0).sum(1).min()) < _LEAST:
        return 0.0
    if torch.equal(a, b):
        return 2.0
    cosine = float(((a * b).sum(1).abs() / (a.norm(dim=1) * b.norm(dim=1)).clamp_min(1e-300)).min())
    return cosine if cosine >= _SCALED else 0.0


def _holds(longer: Tensor, vector: Tensor) -> bool:
    """Whether the elements of the vector are elements of the longer one, at any positions."""
    if longer.shape == vector.shape:
        return longer.dtype == vector.dtype and torch.equal(longer, vector)
    row = int(vector.abs().amax(1).argmax())  # not one of zeros
    elements = vector[row][vector[row] != 0]
    elements = elements[:: max(1, len(elements) // _ELEMENTS)]
    if len(elements) < _LEAST or vector.shape[1] > longer.shape[1]:
        return False
    return all(bool((longer[row] == element).any()) for element in elements)
