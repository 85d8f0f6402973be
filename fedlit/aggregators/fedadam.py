"""FedAdam: Reddi et al. 2021, algorithm 2."""

from __future__ import annotations

from torch import Tensor

from fedlit.aggregators.base import Weighting
from fedlit.aggregators.fedopt import FedOpt


class FedAdam(FedOpt):
    """v_t = beta_2 v_{t-1} + (1 - beta_2) Delta_t^2; the rest is `FedOpt`.

    torch.optim.Adam as a server optimiser is another algorithm: it corrects the bias of m and v, and v_{-1} = 0.
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
            beta_2: decay of the mean square, from 0 to below 1.
            eta, beta_1, tau, weighting: as in FedOpt.
        """
        super().__init__(eta, beta_1, tau, weighting)
        self.beta_2 = beta_2

    def second_moment(self, v: Tensor, squared: Tensor) -> Tensor:
        return self.beta_2 * v + (1 - self.beta_2) * squared
