"""The clients as a stage sees them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from fedlit.client import Client
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout
from fedlit.round import Round


@dataclass
class StageClient:
    """K clients while their messages pass a stage.

    Attributes:
        client: the clients as the algorithm sees them.
        stage: the name of the stage.
        layout: positions of the module's tensors in a Model.
        received: what the server's half of the stage broadcasts (`Stage.broadcast`), without axis K.
        decoded: gives of the stage's wire (K, ...) what the server will decode with the stages before this one.
        notes: name -> (K,), see `note`.
    """

    client: Client
    stage: str
    layout: Layout
    received: Wire = field(default_factory=dict)
    decoded: Callable[[Wire], Wire] = lambda wire: wire
    notes: dict[str, Tensor] = field(default_factory=dict)

    @property
    def number(self) -> Tensor:
        """(K, 1) int64: the clients."""
        return self.client.number

    @property
    def examples(self) -> Tensor:
        """(K, 1): their training samples."""
        return self.client.examples

    @property
    def round(self) -> Round:
        return self.client.round

    def draw(self, kind: Literal["normal", "uniform"], what: str, like: Tensor) -> Tensor:
        """Random numbers of `like`'s shape (K, ...): as `Client.draw`, from a stream of the stage's own."""
        return self.client.draw(kind, f"uplink.{self.stage} {what}", like)

    def note(self, name: str, values: Tensor) -> None:
        """Note a number of each client, (K,) or (K, 1). The row of metrics has the mean over the clients that arrived,
        under `uplink/<stage>/<name>`."""
        self.notes[name] = values.reshape(-1)
