"""FedYogi: Reddi et al. 2021, algorithm 2."""

from __future__ import annotations

from torch import Tensor

from fedlit.aggregators.base import Weighting
from fedlit.aggregators.fedopt import FedOpt


class FedYogi(FedOpt):
    """v_t = v_{t-1} - (1 - beta_2) Delta_t^2 sign(v_{t-1} - Delta_t^2); the rest is `FedOpt`.

    Where FedAdam forgets a large v by a factor a round, FedYogi takes away the square of the current change.
    """

    def __init__(
        self,
        eta: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        tau: float = 0.001,
        weighting: Weighting = "examples",
    ):
        """
        Args:
            beta_2: 1 - beta_2 is the share of the squared change by which v changes; from 0 to below 1.
            eta, beta_1, tau, weighting: as in FedOpt.
        """
        super().__init__(eta, beta_1, tau, weighting)
        self.beta_2 = beta_2

    def second_moment(self, v: Tensor, squared: Tensor) -> Tensor:
        return v - (1 - self.beta_2) * squared * (v - squared).sign()
