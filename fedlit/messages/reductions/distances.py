"""Distances and inner products of the clients' vectors, in 64 bits, as numbers on the CPU.

The vectors of n clients are a list of tensors (n, P_1), (n, P_2), ...: they are columns of one matrix, which is never
made. Sums run over blocks of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedlit.messages.reductions.columns import blocks, wide

Vectors = Sequence[Tensor]
"""Tensors (n, P_1), (n, P_2), ...: vectors of n clients in parts."""

SAMPLE = 256  # columns of each part by which a central row is chosen
CANCELS = 1e-6  # a squared distance below this part of the squared norms has lost digits, and is computed directly


@dataclass(frozen=True)
class Gram:
    """The inner products of n rows.

    Attributes:
        products: (n, n); 0 in rows and columns that are too far.
        too_far: (n,) bools: the squared norm is above the largest number, the row counts as infinitely far.
    """

    products: np.ndarray
    too_far: np.ndarray

    @property
    def squares(self) -> np.ndarray:
        """(n,) squared norms, infinite if too far."""
        return np.where(self.too_far, np.inf, self.products.diagonal())


def read(numbers: Tensor) -> np.ndarray:
    """A small tensor as an array. It waits for the device: a rule calls it once or twice a round."""
    return numbers.cpu().double().numpy()


def gram(vectors: Vectors, centre: Vectors | None = None) -> Gram:
    """<x_i - c, x_j - c> of all pairs.

    Args:
        centre: tensors (P_1,), (P_2,), ...; None: zeros.
    """
    total = wide(vectors[0].new_zeros(len(vectors[0]), len(vectors[0])))
    for part, rows in enumerate(vectors):
        for block in blocks(rows):
            away = wide(rows[:, block])
            if centre is not None:
                away = away - wide(centre[part][block])
            total += away @ away.T
    return _readable(total)


def _readable(total: Tensor) -> Gram:
    products = read(total)
    products = products / 2 + products.T / 2
    too_far = ~np.isfinite(products.diagonal())
    products[too_far, :], products[:, too_far] = 0, 0
    return Gram(products, too_far)


def squared_norms(vectors: Vectors) -> np.ndarray:
    """(n,) |x_i|^2; infinite where it is above the largest number."""
    return inner_products(vectors, None)


def inner_products(vectors: Vectors, reference: Vectors | None) -> np.ndarray:
    """(n,) <x_i, r>.

    Args:
        reference: tensors (P_1,), (P_2,), ...; None: each row itself.
    """
    total = wide(vectors[0].new_zeros(len(vectors[0])))
    for part, rows in enumerate(vectors):
        for block in blocks(rows):
            numbers = wide(rows[:, block])
            total += numbers.square().sum(1) if reference is None else numbers @ wide(reference[part][block])
    return read(total)


def central_row(vectors: Vectors) -> list[Tensor]:
    """The row whose median distance to the others is smallest, judged by some columns: (P_1,), (P_2,), ...

    With fewer than half of the rows far away it is near the others, so that differences from it lose no digits.
    """
    columns = torch.cat([wide(rows[:, :: max(1, rows.shape[1] // SAMPLE)]) for rows in vectors], 1)
    apart = torch.cdist(columns, columns, compute_mode="donot_use_mm_for_euclid_dist")
    index = apart.median(1).values.argmin().reshape(1)
    return [rows.index_select(0, index)[0] for rows in vectors]


def squared_distances(vectors: Vectors) -> np.ndarray:
    """(n, n) squared Euclidean distances; infinite where they are above the largest number.

    >>> squared_distances([torch.tensor([[50.0], [50.5], [3e38]])])[0, 1]
    np.float64(0.25)

    They come from inner products of the differences from a central row. Where the norms of these differences are large
    and the distance is small, the pair is computed once more by subtracting its rows.
    """
    about = gram(vectors, central_row(vectors))
    squares = about.squares
    with np.errstate(over="ignore"):
        sums = squares[:, None] + squares[None, :]
        squared = np.where(np.isfinite(sums), np.maximum(sums - 2 * about.products, 0), np.inf)
    first, second = np.nonzero(np.triu(squared < CANCELS * sums, 1))
    if len(first):
        squared[first, second] = squared[second, first] = _subtracted(vectors, first, second)
    np.fill_diagonal(squared, 0)
    return squared


def _subtracted(vectors: Vectors, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """|x_i - x_j|^2 of some pairs, in the order of `first`."""
    total = wide(vectors[0].new_zeros(len(first)))
    pairs = [(int(i), np.nonzero(first == i)[0]) for i in np.unique(first)]
    index = {i: torch.from_numpy(second[at]).to(total.device, non_blocking=True) for i, at in pairs}
    for rows in vectors:
        for block in blocks(rows):
            numbers = wide(rows[:, block])
            total += torch.cat([(numbers.index_select(0, index[i]) - numbers[i]).square().sum(1) for i, _ in pairs])
    return read(total)
