"""SCAFFOLD: Karimireddy et al. 2020 (Stochastic Controlled Averaging for Federated Learning), algorithm 1."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.evaluation_gradient import evaluation_gradient
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound


class Scaffold(FedAvg):
    """Client i steps along g_i(y_i) - c_i + c, from y_i = x, with its control variate c_i and the server's c.

        option I    c_i+ = g_i(x), the gradient on all its samples
        option II   c_i+ = c_i - c + (x - y_i) / (K eta_l)

        x = x + eta_g / |S| sum_{i in S} (y_i - x),    c = c + 1/N sum_{i in S} (c_i+ - c_i)

    S is the set of clients that arrived, N the number of all clients. All c start at 0, so c is the mean of all c_i.
    `Fitted.gain`, what the K steps applied of a constant gradient of 1, takes the place of K eta_l: option II is right
    under momentum, schedules and parameter groups, too. Weight decay is a part of its gradients. Other optimisers than
    SGD are refused under option II. Option I takes another pass over the samples, in evaluation mode: batch
    normalisation by running statistics, no dropout, no augmentation, no weight decay.

    What travels: the model and c down, their changes up. A client keeps c_i, the server the model and c. The server's
    optimiser has eta_g as its learning rate.
    """

    def __init__(
        self,
        option: Literal["I", "II"] = "II",
        weighting: Weighting = "uniform",
        c_weighting: Weighting = "uniform",
        server_optimizer: OptimizerFactory | None = None,
    ):
        """
        Args:
            option: how a client estimates its gradient; the paper's experiments have II.
            weighting: "uniform" is the paper's mean of y_i - x; "examples" weighs client i by its training samples.
            c_weighting: the same for c_i+ - c_i. Under "examples" c is no mean of all c_i.
            server_optimizer: as in FedAvg.
        """
        super().__init__(weighting, server_optimizer)
        self.option = option
        self.weighting = {"delta": weighting, "c": c_weighting}

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        return {"model": model, "c": torch.zeros_like(model.weights)}

    def client_state(self, model: Model) -> State:
        return {"c": torch.zeros_like(model.weights)}

    def broadcast(self, server: State) -> State:
        return {"model": server["model"], "c": server["c"]}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        def controlled(grad: Tensor, y: Tensor, c: Tensor, c_i: Tensor) -> Tensor:
            return grad - c_i + c

        x, c, c_i = received["model"], received["c"], state["c"]
        y = client.fit(x, adjust_gradient=controlled, extras=(c, c_i))
        if self.option == "I":
            c_new = evaluation_gradient(client, x)
        else:
            c_new = c_i - c + (x.weights - y.model.weights) / y.gain
        return {"delta": y.model - x, "c": c_new - c_i}, {"c": c_new}

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        c = server["c"] + round.share * reduced["c"].to(server["c"])
        return super().server_update(server, reduced, round) | {"c": c}
