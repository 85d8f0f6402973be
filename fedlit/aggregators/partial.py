"""One part of the model stays with the client, the other part travels: the base of FedPer and similar algorithms."""

from __future__ import annotations

from abc import abstractmethod

import torch

from fedlit.aggregators.base import Aggregator, Message, State
from fedlit.aggregators.server_step import server_step
from fedlit.client import Client
from fedlit.model_vectors import Layout, Model, merge, select, tree_map
from fedlit.server_round import ServerRound


class Partial(Aggregator):
    """The shared part of the model travels down and up and is averaged. Each client keeps a part of its own.

    Attributes:
        private_at: a Model of bools, (P,) and (S,): the positions that stay with the client.
        shared_at: the other positions.
    """

    @abstractmethod
    def private(self, layout: Layout) -> Model:
        """The positions that stay with the client: a Model of bools, (P,) and (S,)."""

    def setup(self, layout: Layout, clients: int) -> None:
        self.private_at = self.private(layout)
        self.shared_at = tree_map(torch.logical_not, self.private_at)

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        return {"shared": select(model, self.shared_at)}

    def client_state(self, model: Model) -> State:
        return {"private": select(model, self.private_at)}

    def broadcast(self, server: State) -> State:
        return {"shared": server["shared"]}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        """Both parts are trained together, in one fit."""
        return self.message(client.fit(self.personal(client, received, state)).model, received)

    def personal(self, client: Client, received: State, state: State) -> Model:
        return merge(self.private_at, state["private"], received["shared"])

    def message(self, trained: Model, received: State) -> tuple[Message, State]:
        """The message and the new state after training: `trained` (K, P), (K, S) is the full model."""
        return {"delta": select(trained, self.shared_at) - received["shared"]}, {
            "private": select(trained, self.private_at)
        }

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        shared, optimizer = server_step(
            self.server_optimizer, server["shared"], reduced["delta"], server.get("optimizer"), round.server_lr_factor
        )
        return {"shared": shared} | ({"optimizer": optimizer} if optimizer else {})

    def global_model(self, server: State) -> Model | None:
        return None
