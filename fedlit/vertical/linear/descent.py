"""The steps of gradient descent, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Descent:
    """
    Attributes:
        curvature: a of the residual d_i = a sum_p u_ip - t_i, where u_ip = w_p x_ip is the score by party p.
        constant: of the loss: mean_i d_i^2 / (2 a) + constant.
        lr, l2: w_p <- w_p - lr (mean_i d_i x_ip + l2 w_p).
    """

    curvature: float
    constant: float
    lr: float
    l2: float

    def penalty(self, weights: np.ndarray) -> float:
        return self.l2 / 2 * float(weights @ weights)

    def loss(self, residuals: np.ndarray) -> float:
        return float(residuals @ residuals) / (2 * self.curvature * len(residuals))
