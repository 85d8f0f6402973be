"""A round as the server knows it, and a client over the server's own data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fedlit.client import Client, CollectedPart, CollectFn, Fitted
from fedlit.errors import InputError
from fedlit.model_vectors import Model, tree_map
from fedlit.round import Round


class ServerClient:
    """One client without the leading axis: the server itself, over its own data and the public ones.

    Args:
        has_samples: the server has samples of its own (`server_samples`), and not only the public ones.
    """

    def __init__(self, client: Client, has_samples: bool = True):
        self.client, self._has_samples = client, has_samples

    def fit(self, model: Model, extras: Sequence[Tensor] = (), **options: Any) -> Fitted:
        """As `Client.fit`, with (P,) and (S,) for the argument and the result.

        Raises:
            InputError: the server has no samples of its own.
        """
        self._check_part("fit", "train")
        fitted = self.client.fit(_with_client_axis(model), extras=[v[None] for v in extras], **options)
        model, carry = tree_map(lambda t: t[0], fitted.model), tree_map(lambda t: t[0], fitted.carry)
        return Fitted(model, fitted.steps[0], fitted.lr[0], fitted.loss[0], carry, lambda: fitted.gain[0])

    def loss(self, model: Model, on: CollectedPart = "train") -> Tensor:
        """As `Client.loss`, (1,); "train" are the server's own samples."""
        self._check_part("loss", on)
        return self.client.loss(_with_client_axis(model), on)[0]

    def collect(
        self, model: Model, f: CollectFn, on: CollectedPart = "train", extras: Sequence[Tensor] = ()
    ) -> dict[str, Tensor]:
        """As `Client.collect`: `f` gets and returns tensors (1, ...), and the sums have no leading axis. "train" are
        the server's own samples."""
        self._check_part("collect", on)
        sums = self.client.collect(_with_client_axis(model), f, on, [v[None] for v in extras])
        return {name: total[0] for name, total in sums.items()}

    def _check_part(self, method: str, on: CollectedPart) -> None:
        if not self._has_samples and on != "public":
            remedy = "server_samples=<number>" if method == "fit" else "server_samples=<number>, or on='public'"
            raise InputError(f"round.server_client.{method}: the server has no samples of its own; write {remedy}.")


def _with_client_axis(model: Model) -> Model:
    return tree_map(lambda t: t[None], model)


@dataclass
class ServerRound(Round):
    """What the server knows of a round. It is never sent to a client."""

    expected: float = 0.0  # mean size of the sampler's cohorts
    broadcast: dict[str, Any] = field(default_factory=dict)  # what every client of the cohort receives
    arrived: list[int] = field(default_factory=list)  # clients whose messages were reduced
    server_client: ServerClient | None = None  # a client over the server's own and the public data, if there are any

    @property
    def share(self) -> float:
        """|S| / N: the number of clients that arrived over the number of all clients of the federation."""
        return len(self.arrived) / self.clients

    def refuse_missing_data(self, method: str, error: AttributeError) -> None:
        """Raise InputError if the error is that of `round.server_client.fit` where the server has no data."""
        if self.server_client is None and error.obj is None and error.name in ("fit", "loss", "collect", "client"):
            raise InputError(
                f"{method} uses round.server_client.{error.name}, and the server has no data; write "
                "server_samples=<number>."
            ) from error

    def for_clients(self) -> Round:
        """The part of the round that clients may know."""
        return Round(self.number, self.seed, self.cohort, self.clients, self.purpose)
