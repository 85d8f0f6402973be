"""FedAvgM: Hsu et al. 2019 (Measuring the Effects of Non-Identical Data Distribution for Federated Visual
Classification)."""

from __future__ import annotations

import torch

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.fedavg import FedAvg
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound


class FedAvgM(FedAvg):
    """v_t = beta v_{t-1} + Delta_t, x_{t+1} = x_t + eta v_t, where Delta_t (P,) is FedAvg's mean change and v_{-1} = 0.

    Clients and messages are those of FedAvg: a vector down, a vector up. The server keeps x and v. beta = 0 is FedAvg.

    Differences from the paper: it has Delta with the other sign, and no eta. Reddi et al. 2021 add eta, the server's
    learning rate. Statistics move by their plain mean.
    """

    def __init__(self, beta: float = 0.9, eta: float = 1.0, weighting: Weighting = "examples"):
        """
        Args:
            beta: momentum, from 0 to below 1.
            eta: learning rate of the server, times the factor of `server_lr_schedule`.
            weighting: as in FedAvg.
        """
        super().__init__(weighting)
        self.beta, self.eta = beta, eta

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        return {"model": model, "v": torch.zeros_like(model.weights)}

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        x, delta = server["model"], reduced["delta"]
        v = self.beta * server["v"] + delta.weights.to(x.weights)
        return {"model": x + Model(round.server_lr_factor * self.eta * v, delta.statistics.to(x.statistics)), "v": v}
