"""The largest changes of what clients receive."""

from __future__ import annotations

from typing import ClassVar

from fedlit.errors import InputError
from fedlit.messages.downlink.base import DownlinkStage
from fedlit.messages.plan import model_keys
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout
from fedlit.server_round import ServerRound


class TopK(DownlinkStage):
    """Of each vector x (P,) of a model, the k = ceil(share P) entries whose difference to what the clients hold is
    largest in absolute value: the clients add them, h <- h + topk(x - h). What is left out stays in the difference,
    which is error feedback on the server (Tang et al. 2019, DoubleSqueeze: "Parallel Stochastic Gradient Descent with
    Double-Pass Error-Compensated Compression", the server's half of algorithm 1).

    A client that was not asked in the round before receives the new h whole. Statistics and other values travel
    unchanged. k entries of b bytes travel in k (b + 4) bytes.

    Args:
        share: of the entries that travel, in (0, 1]; at least one travels.
    """

    incremental: ClassVar[bool] = True

    def __init__(self, share: float = 0.1):
        if not 0 < share <= 1:
            raise InputError(f"downlink.topk.share={share}: it is a share of the entries; write a number in (0, 1].")
        self.share, self.size = share, 0

    def setup(self, layout: Layout, clients: int) -> None:
        self.size = layout.size

    def encode(self, wire: Wire, held: Wire, round: ServerRound) -> Wire:
        sent = dict(wire)
        for key in model_keys({key: value[None] for key, value in wire.items()}, self.size):
            if key in held:
                difference = sent.pop(key) - held[key]
                index = difference.abs().topk(max(1, round_up(self.share * len(difference)))).indices.sort().values
                sent |= {f"{key}.values": difference[index], f"{key}.index": index.int()}
        return sent

    def decode(self, wire: Wire, held: Wire) -> Wire:
        received = dict(wire)
        for key in [name.removesuffix(".index") for name in wire if name.endswith(".index")]:
            values, index = received.pop(f"{key}.values"), received.pop(f"{key}.index")
            received[key] = held[key].index_add(0, index.long(), values)
        return received


def round_up(number: float) -> int:
    """The next whole number, where a product that is whole but for rounding counts as whole."""
    return int(-(-round(number, 9) // 1))
