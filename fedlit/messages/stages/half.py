"""Each entry as 16 bits."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fedlit.messages.sent import Sent
from fedlit.messages.stages.compression import Compression
from fedlit.messages.stages.scales import largest, wide
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire


class Half(Compression):
    """Each entry x_i travels as the 16-bit number (binary16 of IEEE 754) that is nearest to x_i / s. s is a power of 2,
    so that dividing by it is exact, and such that the largest |x_i| / s lies in [2^14, 2^15). So no entry overflows;
    those above 2^-28 of the largest one have a relative error of at most 2^-11, and only those below 2^-39 of it become
    0.

    `key.bits` (K, P) are the bits of these numbers as integers, because they are no factors of the message,
    `key.scale` (K, 1) is s: 2 P + b bytes for P entries of b bytes.

    Args:
        keys: see `KeyedStage`.
    """

    parts: ClassVar[tuple[str, ...]] = ("bits", "scale")

    def compress(self, client: StageClient, key: str, vector: Tensor) -> Wire:
        vector = wide(vector)
        top = largest(vector)
        mantissa, _ = torch.frexp(top)  # top = mantissa 2^e, mantissa in [1/2, 1)
        power = top / (2 * mantissa.where(mantissa > 0, 1))  # 2^(e-1), exactly
        scale = (power * 2.0**-14).clamp_min(torch.finfo(vector.dtype).tiny)
        return {"bits": (vector / scale).half().view(torch.int16), "scale": scale}

    def restore(self, parts: Wire, key: str, size: int, source: StageClient | Sent) -> Tensor:
        scale = parts["scale"]
        return parts["bits"].view(torch.float16).to(scale.dtype) * scale
