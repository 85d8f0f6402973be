"""Weighted means as sums of whole numbers: what clients send, and what the server makes of the sums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.messages.secure.fixed_point import FixedPoint
from fedlit.messages.weights import is_weight, is_weighted_by_message, message_weights, weighted_by
from fedlit.messages.wire import Wire, unflatten_message


class WeightedSums:
    """Messages as vectors of integers (L,), a part for each key, in the order of the keys.

    A part holds z = round(m / step): as it is under uniform weights, times n_k under weights by examples, and
    round(w m / step) under a weight w that the message carries, whose own part holds round(w / step). Where a key is
    weighed by examples, the last number is n_k.

    Args:
        weighting: key of a message -> "examples", "uniform", or the key of its weight.
        row: key of the wire -> a tensor like one client's row.
    """

    def __init__(self, weighting: Mapping[str, str], row: Mapping[str, Tensor]):
        self.weighting, self.row = weighting, row
        self.by_examples = any(weighted_by(weighting, key) == "examples" for key in row)

    def largest_weight(self, clients: int, most_examples: int) -> int:
        """Of a sum over the clients."""
        return clients * (most_examples if self.by_examples else 1)

    def integers(
        self, wire: Wire, examples: Tensor, ring: FixedPoint, range: float, most_examples: int
    ) -> tuple[np.ndarray, dict[int, str]]:
        """The integers (K, L) of K messages, and row -> why a message cannot be sent. The numbers of such a row are 0.

        Args:
            wire: (K, ...).
            examples: (K, 1).
            range: the largest absolute value of an entry, or of an entry times a weight that the message carries.
        """
        counts = np.rint(examples.double().cpu().numpy()).astype(np.int64)
        refusals: dict[int, str] = {}
        if self.by_examples:
            for r in np.flatnonzero(counts[:, 0] > most_examples).tolist():
                refusals[r] = f"it has {counts[r, 0]} samples, and reduction.most_examples={most_examples}"
        parts = []
        for key, value in wire.items():
            numbers = value.double()
            if is_weighted_by_message(self.weighting, key):
                numbers = numbers * message_weights(self.weighting, key, wire, examples).double()
            flat = numbers.flatten(1).cpu().numpy()
            largest = np.abs(flat).max(1, initial=0.0)
            for r in np.flatnonzero(largest > range).tolist():
                refusals.setdefault(
                    r, f"{key} of its message has an entry of {largest[r]:.6g}, and reduction.range={range:g}"
                )
            whole = ring.integers(np.clip(flat, -range, range))  # what is clipped is refused
            parts.append(whole * counts if weighted_by(self.weighting, key) == "examples" else whole)
        if self.by_examples:
            parts.append(counts)
        integers = np.concatenate(parts, 1)
        integers[list(refusals)] = 0
        return integers, refusals

    def means(self, sums: np.ndarray, count: int, ring: FixedPoint) -> dict[str, Any]:
        """The reduced message, of the sums (L,) over `count` clients."""
        total = torch.from_numpy(sums)
        parts = dict(zip(self.row, total.split([*self._lengths(), *([1] if self.by_examples else [])]), strict=False))
        examples = total[-1:]
        means: Wire = {}
        for key, like in self.row.items():
            value = parts[key].double() * ring.step
            if is_weight(self.weighting, key):
                means[key] = self._like(value, like)
                continue
            weight = torch.tensor([float(count)], dtype=torch.float64)
            if weighted_by(self.weighting, key) == "examples":
                weight = examples.double()
            elif is_weighted_by_message(self.weighting, key):
                weights = {
                    name: (parts[name].double() * ring.step).reshape(1, *t.shape) for name, t in self.row.items()
                }
                weight = message_weights(self.weighting, key, weights, examples).expand(1, *like.shape).flatten()
            means[key] = self._like(value / weight.where(weight != 0, 1), like)
        return unflatten_message(means)

    def _lengths(self) -> list[int]:
        return [like.numel() for like in self.row.values()]

    def _like(self, values: Tensor, like: Tensor) -> Tensor:
        dtype = like.dtype if like.dtype.is_floating_point else torch.get_default_dtype()
        return values.reshape(like.shape).to(like.device, dtype)
