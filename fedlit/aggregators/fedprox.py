"""FedProx: Li et al. 2020 (Federated Optimization in Heterogeneous Networks), algorithm 2."""

from __future__ import annotations

from torch import Tensor

from fedlit.aggregators.base import Aggregator, Message, State, Weighting
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client


class FedProx(Aggregator):
    """Client k minimises h_k(w; w^t) = F_k(w) + mu/2 ||w - w^t||^2 (equation 2), w^t (P,) the received model.

    Each local step adds mu (w - w^t) to the gradient. Messages and states are those of FedAvg. Two differences from the
    paper: every client trains the configured number of epochs, where the paper asks for a gamma-inexact minimiser; and
    the mean is weighted by examples, where the paper samples clients with probability n_k / n and takes the plain mean
    (`weighting=uniform`).
    """

    def __init__(
        self, mu: float = 0.01, weighting: Weighting = "examples", server_optimizer: OptimizerFactory | None = None
    ):
        """
        Args:
            mu: weight of the proximal term, 0 or more; 0 is FedAvg.
            weighting: as in FedAvg.
            server_optimizer: as in FedAvg.
        """
        self.mu = mu
        self.weighting = {"delta": weighting}
        self.server_optimizer = server_optimizer

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        def proximal(grad: Tensor, w: Tensor, x: Tensor) -> Tensor:
            return grad + self.mu * (w - x)

        x = received["model"]
        return {"delta": client.fit(x, adjust_gradient=proximal, extras=(x.weights,)).model - x}, state
