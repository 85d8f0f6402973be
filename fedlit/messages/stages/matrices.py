"""The tensors of a model as matrices, and those among them that two thin factors make smaller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedlit.model_vectors import Layout


@dataclass(frozen=True)
class Matrix:
    """A piece of a vector (P,) as a matrix (rows, columns); `rank` 0: it travels as it is."""

    rows: int
    columns: int
    rank: int

    @property
    def size(self) -> int:
        return self.rows * self.columns


class Matrices:
    """
    Args:
        layout: its tensors of two or more axes are matrices (d_1, d_2 ... d_n).
        rank: of the two factors (rows, rank) and (columns, rank); matrices travel as they are where the factors are no
            smaller.
    """

    def __init__(self, layout: Layout, rank: int):
        self.pieces: list[Matrix] = []
        for shape in layout.weights.values():
            rows, size = (shape[0] if len(shape) else 1), shape.numel()
            columns = size // rows if rows else 0
            factored = len(shape) > 1 and (rows + columns) * rank < size
            self.pieces.append(Matrix(rows, columns, rank if factored else 0))
        self.factored = [piece for piece in self.pieces if piece.rank]

    @property
    def size(self) -> int:
        """P."""
        return sum(piece.size for piece in self.pieces)

    def cut(self, vectors: Tensor) -> tuple[list[Tensor], Tensor]:
        """Vectors (..., P) as the matrices (..., rows, columns) that are factored, and the rest (..., R)."""
        parts = vectors.split([piece.size for piece in self.pieces], -1)
        pairs = list(zip(self.pieces, parts, strict=True))
        raw = [part for piece, part in pairs if not piece.rank]
        matrices = [part.unflatten(-1, (piece.rows, piece.columns)) for piece, part in pairs if piece.rank]
        return matrices, torch.cat(raw, -1) if raw else vectors[..., :0]

    def joined(self, matrices: Sequence[Tensor], raw: Tensor) -> Tensor:
        """The reverse of `cut`."""
        raws = iter(raw.split([piece.size for piece in self.pieces if not piece.rank], -1))
        factored = iter(matrices)
        return torch.cat([next(factored).flatten(-2) if piece.rank else next(raws) for piece in self.pieces], -1)

    def left(self, vectors: Tensor) -> list[Tensor]:
        """Vectors (..., sum rows rank) as the left factors (..., rows, rank)."""
        parts = vectors.split([piece.rows * piece.rank for piece in self.factored], -1)
        return [part.unflatten(-1, (-1, piece.rank)) for part, piece in zip(parts, self.factored, strict=True)]

    def right(self, vectors: Tensor) -> list[Tensor]:
        """Vectors (..., sum columns rank) as the right factors (..., columns, rank)."""
        parts = vectors.split([piece.columns * piece.rank for piece in self.factored], -1)
        return [part.unflatten(-1, (-1, piece.rank)) for part, piece in zip(parts, self.factored, strict=True)]


def as_vectors(factors: Sequence[Tensor]) -> Tensor:
    """The reverse of `Matrices.left` and of `Matrices.right`."""
    return torch.cat([factor.flatten(-2) for factor in factors], -1)


def orthonormal(factors: Sequence[Tensor]) -> list[Tensor]:
    """An orthonormal basis of the columns of each matrix (n, r), r <= n, by Householder's QR; columns that depend on
    others, or are 0, give further orthonormal ones."""
    return [torch.linalg.qr(factor)[0] for factor in factors]
