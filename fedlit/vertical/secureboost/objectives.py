"""First and second derivatives of the loss, as whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedlit.vertical.protocol import Task
from fedlit.vertical.secureboost.packing import Packing


@dataclass(frozen=True)
class Derivatives:
    """g_i = dl / dF(x_i) and h_i = d2l / dF(x_i)2 of all people, in fixed point: sums of whole numbers are exact, so
    they do not depend on an order, a party or a cipher.

    Attributes:
        g, h: (N,) int64.
        g_unit, h_unit: powers of two; a number times its unit is the derivative.
    """

    g: np.ndarray
    h: np.ndarray
    g_unit: float
    h_unit: float

    def sums(self, rows: np.ndarray) -> tuple[int, int]:
        """Of g and of h, over these people."""
        return int(self.g[rows].sum()), int(self.h[rows].sum())


def start(task: Task, target: np.ndarray) -> float:
    """The margin before the first tree: log odds of 0, or the mean of the targets."""
    return 0.0 if task == "binary" else float(target.mean())


def derivatives(task: Task, margin: np.ndarray, target: np.ndarray, packing: Packing) -> Derivatives:
    """Of the log loss, g = p - y and h = p (1 - p) with p = 1 / (1 + exp(-F)), or of half the squared error, g = F - y
    and h = 1. Values of g are divided by a power of two that is not below any of them.

    Args:
        margin, target: (N,) float64: F(x_i) and y_i.
    """
    if task == "binary":
        p = 1 / (1 + np.exp(-margin))
        g, h, scale = p - target, p * (1 - p), 0
    else:
        g, h = margin - target, np.ones_like(margin)
        scale = math.frexp(float(np.abs(g).max(initial=0)))[1]
    return Derivatives(
        np.rint(np.ldexp(g, packing.fraction - scale)).astype(np.int64),
        np.rint(np.ldexp(h, packing.fraction)).astype(np.int64),
        math.ldexp(1, scale - packing.fraction),
        math.ldexp(1, -packing.fraction),
    )
