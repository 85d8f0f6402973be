"""Randomly drawn entries of each vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fedlit.device_copies import to_device
from fedlit.messages.sent import Sent
from fedlit.messages.stages.compression import Compression
from fedlit.messages.stages.option_checks import check_number
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.stages.topk import kept
from fedlit.messages.wire import Wire
from fedlit.randomness import keyed_bits
from fedlit.round import Round


class RandomK(Compression):
    """Of each vector x (P,) k = ceil(share P) entries travel, drawn without replacement for each client and round
    (Stich et al. 2018, "Sparsified SGD with Memory", definition 2.1).

    Without error feedback they are multiplied by P / k, so that the mean over the draws is x (Konecny et al. 2016,
    "Federated Learning: Strategies for Improving Communication Efficiency", section 3). With it they travel as they
    are, and a client adds what it left out to its next message.

    `key.values` (K, k) has the entries: k b bytes for entries of b bytes. Their places need none, because the server
    draws them, too: they follow from the run's seed, the round and the client.

    Args:
        share: of the entries that travel, in (0, 1]; at least one travels.
        feedback: error feedback, in place of the factor P / k.
        keys: see `KeyedStage`.
    """

    parts: ClassVar[tuple[str, ...]] = ("values",)

    def __init__(self, share: float = 0.1, feedback: bool = False, keys: Sequence[str] | None = None):
        check_number(self, "share", share, 0, 1, low_open=True)
        super().__init__(keys, feedback)
        self.share = share

    def compress(self, client: StageClient, key: str, vector: Tensor) -> Wire:
        size = vector.shape[1]
        places = self._places(client.round, key, client.number, size)
        factor = 1.0 if self.feedback else size / places.shape[1]
        return {"values": vector.gather(1, places) * factor}

    def restore(self, parts: Wire, key: str, size: int, source: StageClient | Sent) -> Tensor:
        values = parts["values"]
        if isinstance(source, Sent):
            number = to_device([[client] for client in source.clients], values.device)
        else:
            number = source.number
        places = self._places(source.round, key, number, size)
        return values.new_zeros(len(values), size).scatter(1, places, values)

    def _places(self, round: Round, key: str, number: Tensor, size: int) -> Tensor:
        """(K, k): the places of the entries of these clients (K, 1), the same on each device."""
        stream = round.stream("uplink.randomk", key)
        client_key = keyed_bits(stream, 2 * number) << 32 | keyed_bits(stream, 2 * number + 1)
        position = torch.arange(size, device=number.device)
        words = keyed_bits(client_key, position) >> 1 << 32 | position  # no two are equal
        return words.topk(kept(self.share, size), largest=False).values & (2**32 - 1)
