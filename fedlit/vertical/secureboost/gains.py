"""What a split gains, and the value of a leaf (Chen and Guestrin 2016, equations 5 and 7)."""

from __future__ import annotations

import numpy as np

from fedlit.vertical.secureboost.objectives import Derivatives
from fedlit.vertical.secureboost.options import Options

ROUNDING = 1e-6
"""A gain has to be above; XGBoost's kRtEps."""


def gains(
    g: np.ndarray, h: np.ndarray, total: tuple[int, int], derivatives: Derivatives, options: Options
) -> np.ndarray:
    """G_L^2 / (H_L + l2) + G_R^2 / (H_R + l2) - G^2 / (H + l2), twice the decrease of the loss; minus infinity where a
    side weighs less than `min_child_weight`.

    A function of whole numbers: equal sums have equal gains, also where left and right are exchanged.

    Args:
        g, h: (K,) int64 sums of the left sides.
        total: sums of the node.
    """
    g_all, h_all = (np.array([number], np.int64) for number in total)
    h_left, h_right = h * derivatives.h_unit, (h_all - h) * derivatives.h_unit
    gained = (_score(g, h, derivatives, options.l2) + _score(g_all - g, h_all - h, derivatives, options.l2)) - _score(
        g_all, h_all, derivatives, options.l2
    )
    allowed = (h_left >= options.min_child_weight) & (h_right >= options.min_child_weight)
    return np.where(allowed, gained, -np.inf)


def leaf(total: tuple[int, int], derivatives: Derivatives, options: Options) -> float:
    """-lr G / (H + l2)."""
    g, h = total
    weight = h * derivatives.h_unit + options.l2
    return -options.lr * (g * derivatives.g_unit) / weight if weight > 0 else 0.0


def _score(g: np.ndarray, h: np.ndarray, derivatives: Derivatives, l2: float) -> np.ndarray:
    weight = h * derivatives.h_unit + l2
    return np.divide((g * derivatives.g_unit) ** 2, weight, out=np.zeros(len(weight)), where=weight > 0)
