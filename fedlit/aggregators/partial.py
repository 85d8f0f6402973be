"""A part of the model stays with the client and the rest alone travels: what FedPer and its kin share."""

from __future__ import annotations

from abc import abstractmethod

import torch

from fedlit.aggregators.base import Aggregator, Message, State
from fedlit.aggregators.server_step import server_step
from fedlit.client import Client
from fedlit.model_vectors import Layout, Model, merge, select, tree_map
from fedlit.server_round import ServerRound


class Partial(Aggregator):
    """What travels: the shared part of the model, down and up. What a client keeps: the private part."""

    @abstractmethod
    def private(self, layout: Layout) -> Model:
        """A Model of bools: what stays with the client."""

    def setup(self, layout: Layout, clients: int) -> None:
        self.here = self.private(layout)
        self.there = tree_map(torch.logical_not, self.here)

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        return {"shared": select(model, self.there)}

    def client_state(self, model: Model) -> State:
        return {"private": select(model, self.here)}

    def broadcast(self, server: State) -> State:
        return {"shared": server["shared"]}

    def personal(self, client: Client, received: State, state: State) -> Model:
        return merge(self.here, state["private"], received["shared"])

    def message(self, trained: Model, received: State) -> tuple[Message, State]:
        """What `local_update` returns after training the whole model."""
        return {"delta": select(trained, self.there) - received["shared"]}, {"private": select(trained, self.here)}

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        shared, optimizer = server_step(
            self.server_optimizer, server["shared"], reduced["delta"], server.get("optimizer")
        )
        return {"shared": shared} | ({"optimizer": optimizer} if optimizer else {})

    def global_model(self, server: State) -> None:
        return None
