"""Each client trains alone: the baseline that federation has to beat."""

from __future__ import annotations

from fedlit.aggregators.base import Aggregator, Message, State
from fedlit.client import Client
from fedlit.model_vectors import Model


class Local(Aggregator):
    """w^k_{t+1} is w^k_t after E local epochs. Nothing travels, and there is no global model.

    A client keeps its model. A client that was never asked has the initial weights.
    """

    def client_state(self, model: Model) -> State:
        return {"model": model}

    def broadcast(self, server: State) -> State:
        return {}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        return {}, {"model": client.fit(state["model"]).model}

    def personal(self, client: Client, received: State, state: State) -> Model:
        return state["model"]

    def global_model(self, server: State) -> None:
        return None
