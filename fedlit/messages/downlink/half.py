"""Half precision of the broadcast."""

from __future__ import annotations

from fedlit.messages.downlink.base import DownlinkStage
from fedlit.messages.wire import Wire
from fedlit.server_round import ServerRound


class Half(DownlinkStage):
    """Floating-point numbers travel as 16 bits, x / s, with one factor s = max |x| a tensor in their own type: nothing
    overflows, and a number counts to 11 bits down to 6e-5 of the largest one.

    2 bytes a number and 4 or 8 a tensor.
    """

    def encode(self, wire: Wire, held: Wire, round: ServerRound) -> Wire:
        sent: Wire = {}
        for key, value in wire.items():
            if not value.is_floating_point() or not value.numel():
                sent[key] = value
                continue
            scale = value.abs().amax()
            scale = scale.where(scale > 0, 1)
            sent |= {f"{key}.values": (value / scale).half(), f"{key}.scale": scale}
        return sent

    def decode(self, wire: Wire, held: Wire) -> Wire:
        received: Wire = {}
        for key, value in wire.items():
            name, _, part = key.rpartition(".")
            if part == "values" and f"{name}.scale" in wire:
                scale = wire[f"{name}.scale"]
                received[name] = value.to(scale.dtype) * scale
            elif not (part == "scale" and f"{name}.values" in wire):
                received[key] = value
        return received
