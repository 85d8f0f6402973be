"""FedBABU: Oh et al. 2022 (FedBABU: Toward Enhanced Representation for Federated Image Classification), algorithm 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fedlit.aggregators.base import Aggregator, Message, State, Weighting
from fedlit.aggregators.head import head_positions
from fedlit.aggregators.server_step import OptimizerFactory, server_step
from fedlit.client import Client
from fedlit.model_vectors import Layout, Model, merge, select, tree_map
from fedlit.server_round import ServerRound


class FedBABU(Aggregator):
    """Clients train the body only: the head keeps its first weights. theta_ext = sum_k n_k / n theta_ext^k.

    The personal model is the received one after `finetune_epochs` epochs on all its weights, as the authors' code
    evaluates it. That code takes the plain mean (`weighting=uniform`).
    Down travels the model, up the change of the body. Clients are stateless. The server keeps the model. The head gets
    no momentum and no weight decay, and its running statistics stay.
    """

    def __init__(
        self,
        head: str | Sequence[str] | None = None,
        finetune_epochs: int = 1,
        weighting: Weighting = "examples",
        server_optimizer: OptimizerFactory | None = None,
    ):
        """
        Args:
            head: patterns over names (see `Layout.where`) of the head; None is the layer that runs last.
            finetune_epochs: epochs on the client's data that make its personal model, 1 or more.
            weighting: as in FedAvg.
            server_optimizer: as in FedAvg.
        """
        self.head, self.finetune_epochs = head, finetune_epochs
        self.weighting = {"delta": weighting}
        self.server_optimizer = server_optimizer

    def setup(self, layout: Layout, clients: int) -> None:
        if_all = "nothing would be trained; name a part of it, or write aggregator=fedavg"
        self.head_at = head_positions(layout, self.head, if_all)
        self.body_at = tree_map(torch.logical_not, self.head_at)

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        x = received["model"]
        return {"delta": select(client.fit(x, trainable=self.body_at).model - x, self.body_at)}, state

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        x = server["model"]
        body, optimizer = server_step(
            self.server_optimizer,
            select(x, self.body_at),
            reduced["delta"],
            server.get("optimizer"),
            round.server_lr_factor,
        )
        model = merge(self.body_at, body, select(x, self.head_at))
        return {"model": model} | ({"optimizer": optimizer} if optimizer else {})

    def personal(self, client: Client, received: State, state: State) -> Model:
        return client.fit(received["model"], epochs=self.finetune_epochs).model
