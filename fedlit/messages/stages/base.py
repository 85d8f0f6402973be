"""A stage that messages pass on their way up: compression, clipping, noise, malicious clients."""

from __future__ import annotations

from typing import Any, ClassVar

from fedlit.client import Client
from fedlit.messages.wire import Wire


class Stage:
    """A stage on the way up, with a state of its own on each client. Stages are an ordered list around any algorithm.

    On `self` there are only hyperparameters. `encode` works on K clients' wires (K, ...), `decode` on what arrived.
    """

    uniform: ClassVar[bool] = False
    """It needs `delta` averaged with uniform weights."""

    decodes: ClassVar[bool] = False
    """The server has to decode each message: not under a blind reduction."""

    @property
    def name(self) -> str:
        """Key of its client state; two stages of one class need two names."""
        return type(self).__name__

    def state(self, client: Client, wire: Wire) -> dict[str, Any]:
        """What a client keeps from round to round, at the start, (K, ...)."""
        return {}

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        """On the clients: the wire that travels on, and the new state."""
        return wire, state

    def decode(self, wire: Wire) -> Wire:
        """On the server: the wire as it was before `encode`, as nearly as may be."""
        return wire
