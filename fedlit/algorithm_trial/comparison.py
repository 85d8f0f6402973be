"""Two results of an algorithm that have to be equal, compared within rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedlit.algorithm_trial.trees import leaves

Outcome = list[dict[str, Any]]
"""What is compared of each client of a round."""

Differences = dict[str, Tensor | None]
"""Path -> the positions (bools) at which two values differ; None where keys, types or shapes differ."""


@dataclass(frozen=True)
class Rounding:
    """
    Attributes:
        tolerance: the largest relative difference of numbers that count as equal.
        error: the relative size of rounding errors.
    """

    tolerance: float
    error: float


def rounding(precision: str, dtype: torch.dtype) -> Rounding:
    """Of a trainer's precision, such as "bf16-mixed", with weights of a type."""
    if dtype == torch.float64:
        return Rounding(1e-6, 1e-13)
    half = dtype.itemsize < 4 or "16" in precision
    return Rounding(1e-1, 1e-2) if half else Rounding(1e-2, 1e-6)


def differences(first: Outcome, second: Outcome, tolerance: float) -> Differences:
    """The differences of all clients."""
    return {
        f"{path} of client {client}": positions
        for client, (left, right) in enumerate(zip(first, second, strict=True))
        for path, positions in difference(left, right, tolerance).items()
    }


def difference(left: Any, right: Any, tolerance: float) -> Differences:
    """The differences of two trees."""
    first, second = dict(leaves(left)), dict(leaves(right))
    if first.keys() != second.keys():
        return {min(first.keys() ^ second.keys()): None}
    differing: Differences = {}
    for path, value in first.items():
        other = second[path]
        if not isinstance(value, Tensor) or not isinstance(other, Tensor):
            if type(value) is not type(other) or _differ_plainly(value, other):
                differing[path] = None
        elif value.shape != other.shape:
            differing[path] = None
        elif not torch.equal(value, other):
            positions = _far_apart(value, other, tolerance)
            if bool(positions.any()):
                differing[path] = positions
    return differing


def _differ_plainly(value: Any, other: Any) -> bool:
    return isinstance(value, bool | int | float | str) and value != other and (value == value or other == other)


def _far_apart(value: Tensor, other: Tensor, tolerance: float) -> Tensor:
    """Relative to the largest number, because the rounding of a small number comes from larger ones."""
    value, other = value.detach().double(), other.detach().double()
    finite = other[other.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return ~torch.isclose(value, other, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def explained_by_rounding(differing: Differences, perturbed: list[Differences]) -> bool:
    """Whether most of the differing positions also differ where the input was changed by a rounding error."""
    total = sensitive = 0
    for path, positions in differing.items():
        if positions is None:
            if all(path not in other for other in perturbed):
                return False
            continue
        moved = torch.zeros_like(positions)
        for other in perturbed:
            if path in other:
                mask = other[path]
                moved |= torch.ones_like(positions) if mask is None or mask.shape != positions.shape else mask
        total, sensitive = total + int(positions.sum()), sensitive + int((positions & moved).sum())
    return sensitive * 2 >= total
