"""The adaptive server optimisers of Reddi et al. 2021 (Adaptive Federated Optimization), algorithm 2."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.fedavg import FedAvg
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound


class FedOpt(FedAvg):
    """m_t = beta_1 m_{t-1} + (1 - beta_1) Delta_t, x_{t+1} = x_t + eta m_t / (sqrt(v_t) + tau).

    Delta_t (P,) is FedAvg's mean change, m_{-1} = 0 and v_{-1} = tau^2. v_t is what the three algorithms differ in. The
    bias of m and v is not corrected, and tau is outside the root.

    Clients and messages are those of FedAvg: a vector down, a vector up. The server keeps x, m and v.

    Differences from the paper: its algorithm takes the plain mean (`weighting=uniform`); its experiments weigh by
    examples. The paper asks for v_{-1} >= tau^2. Statistics move by their plain mean, because an adaptive step could
    make a variance negative.
    """

    def __init__(self, eta: float, beta_1: float, tau: float, weighting: Weighting = "examples"):
        """
        Args:
            eta: learning rate of the server, times the factor of `server_lr_schedule`.
            beta_1: decay of the mean change, from 0 to below 1.
            tau: adaptivity, above 0: changes far below it are scaled by 1 / tau, and those far above it get one size.
            weighting: as in FedAvg.
        """
        super().__init__(weighting)
        self.eta, self.beta_1, self.tau = eta, beta_1, tau

    @abstractmethod
    def second_moment(self, v: Tensor, squared: Tensor) -> Tensor:
        """v_t (P,) from v_{t-1} and Delta_t^2."""

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        x = model.weights
        return {"model": model, "m": torch.zeros_like(x), "v": torch.full_like(x, self.tau**2)}

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        x, mean = server["model"], reduced["delta"]
        delta = mean.weights.to(x.weights)
        m = self.beta_1 * server["m"] + (1 - self.beta_1) * delta
        v = self.second_moment(server["v"], delta.square())
        step = round.server_lr_factor * self.eta * m / (v.sqrt() + self.tau)
        return {"model": x + Model(step, mean.statistics.to(x.statistics)), "m": m, "v": v}
