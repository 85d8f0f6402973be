"""A stage that messages pass on their way: compression, clipping, noise, malicious clients."""

from __future__ import annotations

from typing import Any, ClassVar

from fedlit.client import Client
from fedlit.messages.wire import Wire


class Stage:
    """A stage around any algorithm, with a state of its own on each client. A run has an ordered mapping of stages.

    On `self` there are only hyperparameters. `encode` works on the wires of K clients (K, ...), `decode` on the wires
    that arrived. Example, a stage that sends half precision:

        class Half(Stage):                      # in mine.py, chosen by uplink.half._target_=mine.Half
            decodes = True

            def encode(self, client, wire, state):
                return {key: value.half() for key, value in wire.items()}, state

            def decode(self, wire):
                return {key: value.float() for key, value in wire.items()}
    """

    uniform: ClassVar[bool] = False
    """It needs `delta` averaged with uniform weights."""

    decodes: ClassVar[bool] = False
    """The server has to decode each message, which a blind reduction rules out."""

    def state(self, client: Client, wire: Wire) -> dict[str, Any]:
        """The initial state of each client, (K, ...), kept from round to round."""
        return {}

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        """On the clients: the wire that travels on, and the new state."""
        return wire, state

    def decode(self, wire: Wire) -> Wire:
        """On the server: the wire as it was before `encode`, as nearly as possible."""
        return wire
