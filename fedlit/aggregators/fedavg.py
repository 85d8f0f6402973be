"""Federated averaging: McMahan et al. 2017, algorithm 1.

What travels: the model down, its change up. What is kept: nothing on clients; on the server the model, and the state of
the server optimiser where it has one (Reddi et al. 2021: FedAvgM, FedAdagrad, FedAdam are torch optimisers here).
"""

from __future__ import annotations

from fedlit.aggregators.base import Aggregator, Message, State, Weighting
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client


class FedAvg(Aggregator):
    def __init__(self, weighting: Weighting = "examples", server_optimizer: OptimizerFactory | None = None):
        """
        Args:
            weighting: clients count by their training samples ("examples", the paper's) or all alike ("uniform").
            server_optimizer: makes the optimiser that steps along the mean update; None: SGD with learning rate 1.
        """
        self.weighting = {"delta": weighting}
        self.server_optimizer = server_optimizer

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        x = received["model"]
        return {"delta": client.fit(x).model - x}, state
