"""The largest entries of each vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fedlit.messages.downlink.topk import round_up
from fedlit.messages.sent import Sent
from fedlit.messages.stages.compression import Compression
from fedlit.messages.stages.option_checks import check_number
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire


class TopK(Compression):
    """Of each vector (P,) the k = ceil(share P) entries with the largest absolute values travel; the others are 0 on
    the server (Stich et al. 2018, "Sparsified SGD with Memory", definition 2.1 and algorithm 1).

    With error feedback a client adds what it left out to its next message: its memory m_t. Without, the result is
    biased towards 0.

    `key.values` (K, k) has the entries, `key.index` (K, k) their places: k (b + i) bytes for entries of b bytes, with
    i = 1 for P <= 256, 2 for P <= 32768, 4 above.

    Args:
        share: of the entries that travel, in (0, 1]; at least one travels.
        feedback: error feedback.
        keys: see `KeyedStage`.
    """

    parts: ClassVar[tuple[str, ...]] = ("values", "index")

    def __init__(self, share: float = 0.1, feedback: bool = True, keys: Sequence[str] | None = None):
        check_number(self, "share", share, 0, 1, low_open=True)
        super().__init__(keys, feedback)
        self.share = share

    def compress(self, client: StageClient, key: str, vector: Tensor) -> Wire:
        size = vector.shape[1]
        index = vector.abs().topk(kept(self.share, size), sorted=False).indices
        return {"values": vector.gather(1, index), "index": index.to(index_type(size))}

    def restore(self, parts: Wire, key: str, size: int, source: StageClient | Sent) -> Tensor:
        values, index = parts["values"], parts["index"].long()
        restored = values.new_zeros(len(values), size).scatter(1, index.clamp(0, size - 1), values)
        outside = ((index < 0) | (index >= size)).any(1, keepdim=True)  # the message was changed on its way
        return restored.masked_fill(outside, torch.nan)  # so it is refused; a refusal by row would wait for a GPU


def kept(share: float, size: int) -> int:
    """k, the number of entries that travel.

    >>> kept(0.1, 30), kept(0.1, 31), kept(1e-9, 31), kept(1.0, 31)
    (3, 4, 1, 31)
    """
    return max(1, round_up(share * size))


def index_type(size: int) -> torch.dtype:
    """The smallest type of torch that numbers `size` places from 0, and that all operations know."""
    for dtype in (torch.uint8, torch.int16, torch.int32):
        if size - 1 <= torch.iinfo(dtype).max:
            return dtype
    return torch.int64
