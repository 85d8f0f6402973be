"""FedProx: Li et al. 2020 (Federated Optimization in Heterogeneous Networks), algorithm 2.

Each local step adds the gradient of mu/2 |w - x|^2, x the model received: clients stay near it. Simplified: every
client does the configured number of local epochs (the paper's gamma-inexact solvers are partial work, which is up to
the client).
What travels and what is kept: as under FedAvg.
"""

from __future__ import annotations

from torch import Tensor

from fedlit.aggregators.base import Aggregator, Message, State, Weighting
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client


class FedProx(Aggregator):
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
