"""The contract of a stage of `downlink`."""

from __future__ import annotations

from typing import ClassVar

from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout
from fedlit.server_round import ServerRound


class DownlinkStage:
    """Transforms what an algorithm broadcasts, for all clients of a round at once. Its tensors have no axis K.

    `encode` runs on the server, `decode` on the clients; the run does it once, because all clients decode the same.
    Downloads of single clients (`Aggregator.download`) are sent as they are.

    Example, a stage that sends half precision:

    >>> import torch
    >>> class Half(DownlinkStage):  # in mine.py, chosen by downlink.half._target_=mine.Half
    ...     def encode(self, wire, held, round):
    ...         return {key: value.half() for key, value in wire.items()}
    ...
    ...     def decode(self, wire, held):
    ...         return {key: value.float() for key, value in wire.items()}
    >>> Half().decode(Half().encode({"model.weights": torch.tensor([0.1])}, {}, None), {})
    {'model.weights': tensor([0.1000])}
    """

    incremental: ClassVar[bool] = False
    """`decode` needs what the client decoded in the round before (`held`). A client that was not asked in that round
    does not have it, and receives the whole broadcast as it is decoded; these bytes are counted. In the first round
    nothing is held, and all receive what is encoded."""

    def setup(self, layout: Layout, clients: int) -> None:
        """Called once, before any other method."""

    def encode(self, wire: Wire, held: Wire, round: ServerRound) -> Wire:
        """On the server.

        Args:
            wire: the broadcast.
            held: what the clients of the last round decoded here; empty before the first round.
        """
        return wire

    def decode(self, wire: Wire, held: Wire) -> Wire:
        """On the clients: the broadcast before `encode`, as exactly as possible."""
        return wire
