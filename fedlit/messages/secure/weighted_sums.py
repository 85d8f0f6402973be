"""Weighted means as sums: what clients send, and what is made of the sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.secure.fixed_point import FixedPoint
from fedlit.messages.weights import is_weight, is_weighted_by_message, message_weights, weighted_by
from fedlit.messages.wire import Wire, unflatten_message
from fedlit.plurals import counted


class WeightedSums:
    """Messages as vectors (L,), a part for each key, in the order of the keys.

    A part holds the message as it is under uniform weights, times n_k under weights by examples, and times the weight
    that the message carries, which has a part of its own. Where a key is weighed by examples, the last number is n_k.

    Args:
        weighting: key of a message -> "examples", "uniform", or the key of its weight.
        row: key of the wire -> a tensor like one client's row.
        range: the largest absolute value of an entry, or of an entry times a weight that the message carries.
        most_examples: the most samples of a client.

    Raises:
        InputError: a part holds complex numbers.
    """

    def __init__(self, weighting: Mapping[str, str], row: Mapping[str, Tensor], range: float, most_examples: int):
        for key, like in row.items():
            if like.is_complex():
                raise InputError(
                    f"reduction: {key} of the message holds complex numbers ({like.dtype}), and hidden sums add real "
                    "ones; send torch.view_as_real of it, or write reduction=mean."
                )
        self.weighting, self.row, self.range, self.most_examples = weighting, row, range, most_examples
        self.by_examples = any(weighted_by(weighting, key) == "examples" for key in row)

    def largest_weight(self, clients: int) -> int:
        """Of a sum over the clients."""
        return clients * (self.most_examples if self.by_examples else 1)

    def integers(self, wire: Wire, examples: Tensor, ring: FixedPoint) -> Iterator[np.ndarray]:
        """The integers (L,), int64, of each of K clients: numbers become round(x / step), and are weighed then.

        Args:
            wire: (K, ...), without messages that `refusals` names.
            examples: (K, 1).
        """
        for count, numbers in zip(_counts(examples)[:, 0], self._by_client(wire, examples), strict=True):
            parts = [ring.integers(values) for values in numbers.values()]
            for key, part in zip(numbers, parts, strict=True):
                if weighted_by(self.weighting, key) == "examples":
                    part *= count
            yield np.concatenate([*parts, *([[count]] if self.by_examples else [])])

    def reals(self, wire: Wire, examples: Tensor) -> np.ndarray:
        """(K, L) float64, with n_k / most_examples in place of n_k, so that no weight is above 1."""
        rows = []
        for count, numbers in zip(_counts(examples)[:, 0], self._by_client(wire, examples), strict=True):
            weight = count / self.most_examples
            parts = [
                values * (weight if weighted_by(self.weighting, key) == "examples" else 1)
                for key, values in numbers.items()
            ]
            rows.append(np.concatenate([*parts, *([[weight]] if self.by_examples else [])]))
        return np.stack(rows)

    def refusals(self, wire: Wire, examples: Tensor) -> dict[int, str]:
        """row -> why a message (K, ...) cannot be sent."""
        counts, refusals = _counts(examples), {}
        if self.by_examples:
            for r in np.flatnonzero(counts[:, 0] > self.most_examples).tolist():
                samples = counted(int(counts[r, 0]), "sample")
                refusals[r] = f"it has {samples}, and reduction.most_examples={self.most_examples}"
        for key, value in self._weighed(wire, examples).items():
            if value[0].numel():
                largest = value.flatten(1).abs().amax(1).double().cpu().numpy()
                for r in np.flatnonzero(~(largest <= self.range)).tolist():
                    entry = f"an entry of {largest[r]:.9g}, and reduction.range={self.range:g}"
                    refusals.setdefault(r, f"{key} of its message has {entry}")
        return refusals

    def means(self, sums: np.ndarray, count: int) -> dict[str, Any]:
        """The reduced message.

        Args:
            sums: (L,) float64, over `count` clients; the last number is in the unit of the weights.
        """
        total = torch.from_numpy(sums)
        lengths = [like.numel() for like in self.row.values()]
        parts = dict(zip(self.row, total[: sum(lengths)].split(lengths), strict=True))
        means: Wire = {}
        for key, like in self.row.items():
            if is_weight(self.weighting, key):
                means[key] = _like(parts[key], like)
                continue
            weight = torch.tensor([float(count)], dtype=torch.float64)
            if weighted_by(self.weighting, key) == "examples":
                weight = total[-1:]
            elif is_weighted_by_message(self.weighting, key):
                shaped = {name: parts[name].reshape(1, *t.shape) for name, t in self.row.items()}
                weight = message_weights(self.weighting, key, shaped, total).expand(1, *like.shape).flatten()
            means[key] = _like(parts[key] / weight.where(weight != 0, 1), like)
        return unflatten_message(means)

    def _weighed(self, wire: Wire, examples: Tensor) -> Wire:
        """The messages (K, ...), those times their weight that carry one."""
        weighed = dict(wire)
        for key in wire:
            if is_weighted_by_message(self.weighting, key):
                weight = message_weights(self.weighting, key, wire, examples)
                weighed[key] = wire[key].double() * weight.double()
        return weighed

    def _by_client(self, wire: Wire, examples: Tensor) -> Iterator[dict[str, np.ndarray]]:
        """For each of K clients, key -> numbers (n,), float64. One by one, because K vectors leave the cache."""
        weighed = {key: value.flatten(1).cpu() for key, value in self._weighed(wire, examples).items()}
        for r in range(len(examples)):
            yield {key: value[r].double().numpy() for key, value in weighed.items()}


def _counts(examples: Tensor) -> np.ndarray:
    """int64 (K, 1)."""
    return np.rint(examples.double().cpu().numpy()).astype(np.int64)


def _like(values: Tensor, like: Tensor) -> Tensor:
    dtype = like.dtype if like.dtype.is_floating_point else torch.get_default_dtype()
    return values.reshape(like.shape).to(like.device, dtype)
