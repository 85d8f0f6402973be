"""The contract of an algorithm: it is written once, over vectors, and runs on every trainer and engine."""

# ruff: noqa: B027  (empty methods that are not abstract: an algorithm writes only those it has a use for)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import torch

from fedlit.aggregators.server_step import OptimizerFactory, server_step
from fedlit.client import Client
from fedlit.model_vectors import Layout, Model
from fedlit.server_round import ServerRound

State = dict[str, Any]  # of tensors, Models, and dicts of these
Message = dict[str, Any]  # of tensors (K, ...) and Models
Weighting = Literal["examples", "uniform"]


class Aggregator(ABC):
    """One federated algorithm: state in, state out. On `self` there is nothing but hyperparameters and positions.

    Whatever is of clients has the leading axis K; whatever is the server's has none (see `fedlit.client`).
    """

    weighting: Mapping[str, Weighting] = MappingProxyType({})
    """How the messages under a key are averaged: "examples" (where nothing is said) or "uniform"."""

    needs_all: ClassVar[bool] = False
    """`server_update` gets every message, (K, ...), and their examples, in place of means."""

    pooled: ClassVar[bool] = False
    """One client trains on all training shards together (a matter of data: the round loop knows nothing of it)."""

    server_optimizer: OptimizerFactory | None = None
    """What the default `server_update` steps with; None adds the mean update as it is (SGD with learning rate 1)."""

    def __str__(self) -> str:
        return type(self).__name__

    def setup(self, layout: Layout, clients: int) -> None:
        """Called once, before anything else: for positions and sizes that come from the module."""

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        """What the server keeps from round to round, at the start."""
        return {"model": model}

    def client_state(self, model: Model) -> State:
        """What a client keeps from round to round, at the start, without the leading axis; `{}` is stateless."""
        return {}

    def broadcast(self, server: State) -> State:
        """What every client of the round receives: the model, not the server's secrets."""
        return {"model": server["model"]}

    def download(self, server: State, client: int) -> State:
        """What this client alone receives besides."""
        return {}

    @abstractmethod
    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        """The paper's client side, in the paper's order: (message, new state)."""

    def unpack(self, message: Message) -> Message:
        """On the server: messages (K, ...) as they are reduced."""
        return message

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        """The new server state. The default steps `server["model"]` along the mean `delta` by the server optimiser.

        Not called where nothing arrived or nothing was sent: then the server keeps its state.
        """
        model, optimizer = server_step(
            self.server_optimizer, server["model"], reduced["delta"], server.get("optimizer")
        )
        return {**server, "model": model} | ({"optimizer": optimizer} if optimizer else {})

    def personal(self, client: Client, received: State, state: State) -> Model:
        """The models the clients would use on their own data; may train (`client.fit`) or choose (`client.loss`)."""
        return received["model"]

    def global_model(self, server: State) -> Model | None:
        """The one model to evaluate and export; None where there is none."""
        return server.get("model")
