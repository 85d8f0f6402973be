"""SCAFFOLD: Karimireddy et al. 2020, algorithm 1, option II.

Each local step is corrected by control variates: g - c_i + c, where c_i is the client's and c the mean of all clients'.
What travels: the model and c down, their changes up. What is kept: c_i on the client, the model and c on the server.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fedlit import Aggregator, Client, Message, Model, ServerRound, State


class MyScaffold(Aggregator):
    def __init__(self, server_lr: float = 1.0):
        """
        Args:
            server_lr: eta_g, the server's step along the mean update.
        """
        self.server_lr = server_lr
        self.weighting = {"delta": "uniform", "c": "uniform"}  # the paper's plain means over the cohort

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        return {"model": model, "c": torch.zeros_like(model.weights)}  # (P,)

    def client_state(self, model: Model) -> State:
        return {"c_i": torch.zeros_like(model.weights)}  # (P,); in local_update (K, P)

    def broadcast(self, server: State) -> State:
        return {"model": server["model"], "c": server["c"]}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        def corrected(grad: Tensor, w: Tensor, c: Tensor, c_i: Tensor) -> Tensor:
            return grad - c_i + c

        x, c, c_i = received["model"], received["c"], state["c_i"]
        y = client.fit(x, adjust_gradient=corrected, extras=(c, c_i))
        c_new = (
            c_i - c + (x.weights - y.model.weights) / y.gain
        )  # the mean gradient; without momentum y.gain is K eta_l
        return {"delta": y.model - x, "c": c_new - c_i}, {"c_i": c_new}

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        x, c = server["model"], server["c"]
        return {"model": x + self.server_lr * reduced["delta"], "c": c + round.share * reduced["c"]}
