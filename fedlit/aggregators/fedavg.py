"""Federated averaging: McMahan et al. 2017, algorithm 1."""

from __future__ import annotations

from fedlit.aggregators.base import Aggregator, Message, State, Weighting
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client


class FedAvg(Aggregator):
    """w_{t+1} = sum_k n_k / n w^k_{t+1}, n = sum_k n_k, over the clients k whose messages arrived.

    w^k_{t+1} (P,) is the model of client k after E local epochs from w_t, and n_k its number of training samples.
    Down travels w_t; up travels `delta`, w^k_{t+1} - w_t, (K, P) and (K, S). Clients are stateless. The server keeps
    the model, and the state of its optimiser if it has one (`server_step`).
    """

    def __init__(self, weighting: Weighting = "examples", server_optimizer: OptimizerFactory | None = None):
        """
        Args:
            weighting: "examples" weighs client k by n_k, as the paper does; "uniform" weighs all clients equally.
            server_optimizer: makes the optimiser that steps along the mean delta; None: SGD with learning rate 1.
        """
        self.weighting = {"delta": weighting}
        self.server_optimizer = server_optimizer

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        x = received["model"]
        return {"delta": client.fit(x).model - x}, state
