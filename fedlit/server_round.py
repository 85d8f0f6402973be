"""A round as the server knows it, and a client over the server's own data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fedlit.client import Client, Fitted
from fedlit.model_vectors import Model, tree_map
from fedlit.round import Round


class ServerClient:
    """One client without the leading axis: the server's own, over the server's own data."""

    def __init__(self, client: Client):
        self.client = client

    def fit(self, model: Model, extras: Sequence[Tensor] = (), **options: Any) -> Fitted:
        """As `Client.fit`, with (P,) and (S,) both ways."""
        found = self.client.fit(tree_map(lambda t: t[None], model), extras=[v[None] for v in extras], **options)
        first = tree_map(lambda t: t[0], {"model": found.model, "beside": found.carry})
        return Fitted(first["model"], found.steps[0], found.lr[0], found.loss[0], first["beside"])

    def loss(self, model: Model) -> Tensor:
        """As `Client.loss`, (1,)."""
        return self.client.loss(tree_map(lambda t: t[None], model))[0]


@dataclass
class ServerRound(Round):
    """What the server knows besides. Never sent to a client."""

    expected: float = 0.0  # size of the cohort that the sampler means
    broadcast: dict[str, Any] = field(default_factory=dict)  # what was broadcast
    arrived: list[int] = field(default_factory=list)  # clients whose messages were reduced
    server: ServerClient | None = None  # a client over the server's own data, where there are any

    @property
    def share(self) -> float:
        """Clients that arrived, as a share of all clients there are."""
        return len(self.arrived) / self.clients

    def for_clients(self) -> Round:
        return Round(self.number, self.seed, self.cohort, self.clients, self.purpose)
