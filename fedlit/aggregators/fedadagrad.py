"""FedAdagrad: Reddi et al. 2021, algorithm 2."""

from __future__ import annotations

from torch import Tensor

from fedlit.aggregators.base import Weighting
from fedlit.aggregators.fedopt import FedOpt


class FedAdagrad(FedOpt):
    """v_t = v_{t-1} + Delta_t^2; the rest is `FedOpt`.

    torch.optim.Adagrad as a server optimiser has beta_1 = 0, which is the default here, too, and v_{-1} = 0.
    """

    def __init__(self, eta: float = 0.1, beta_1: float = 0.0, tau: float = 0.001, weighting: Weighting = "examples"):
        """
        Args:
            eta, beta_1, tau, weighting: as in FedOpt; the paper's experiments have beta_1 = 0.
        """
        super().__init__(eta, beta_1, tau, weighting)

    def second_moment(self, v: Tensor, squared: Tensor) -> Tensor:
        return v + squared
