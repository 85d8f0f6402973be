"""The contract of a stage: compression, clipping, noise, malicious clients."""

from __future__ import annotations

from typing import Any, ClassVar

from fedlit.client import Client
from fedlit.messages.wire import Wire


class Stage:
    """Transforms the messages of any algorithm, and may keep a state with each client. A run has stages by name.

    `self` holds hyperparameters only. `encode` gets the wires of K clients (K, ...), `decode` the wires that arrived.
    Rows whose lengths differ between clients are sent as a list of K tensors, `[row[mask] for ...]`, not padded: every
    byte is counted, and padding would depend on the chunk. `decode` makes tensors (K, ...) of them again.

    Both get copies and may change them in place. They keep clients apart: norms and means are along the last axis.

    A message that is not finite after `encode` is a failure of its client (`engine.on_failure`); one that is not finite
    after `decode` is refused: its client counts as lost and keeps its states.

    Example, a stage that sends half precision:

    >>> import torch
    >>> class Half(Stage):  # in mine.py, chosen by uplink.half._target_=mine.Half
    ...     decodes = True
    ...
    ...     def encode(self, client, wire, state):
    ...         return {key: value.half() for key, value in wire.items()}, state
    ...
    ...     def decode(self, wire):
    ...         return {key: value.float() for key, value in wire.items()}
    >>> wire, _ = Half().encode(None, {"delta.weights": torch.tensor([[0.1, 0.2]])}, {})
    >>> wire["delta.weights"].dtype, Half().decode(wire)["delta.weights"].dtype
    (torch.float16, torch.float32)
    """

    uniform: ClassVar[bool] = False
    """The stage needs all clients to count the same: every key is averaged with uniform weights."""

    decodes: ClassVar[bool] = False
    """The server must decode each message, which is impossible under a blind reduction."""

    def state(self, client: Client, wire: Wire) -> dict[str, Any]:
        """The initial states (K, ...) of K clients. A state is stored with its client from round to round, under the
        stage's name."""
        return {}

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        """On the clients: the encoded wire and the new states, both (K, ...)."""
        return wire, state

    def decode(self, wire: Wire) -> Wire:
        """On the server: the wire before `encode`, as exactly as possible."""
        return wire
