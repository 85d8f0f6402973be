"""Each entry as one bit, its sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fedlit.messages.sent import Sent
from fedlit.messages.stages.packed_bits import packed, unpacked
from fedlit.messages.stages.scales import spread, wide
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.stages.tensorwise import TensorwiseCompression
from fedlit.messages.wire import Wire


class SignSgd(TensorwiseCompression):
    """Each vector p (P,) becomes ||p||_1 / P sgn(p), the signs times the mean absolute value (Karimireddy et al. 2019,
    "Error Feedback Fixes SignSGD and other Gradient Compression Schemes", algorithm 1, EF-signSGD). A zero counts as
    positive.

    With error feedback p is the message and what the client's earlier ones have lost (Seide et al. 2014, "1-Bit
    Stochastic Gradient Descent"). Without, it is the signSGD of Bernstein et al. 2018 with this scale, which is biased
    and may not converge. Their vote of the majority is none: the server averages.

    `key.signs` has 8 entries a byte, `key.scale` (K, G) the scales: ceil(P / 8) + G b bytes for P entries of b bytes.

    Args:
        feedback: error feedback.
        per_tensor: each of the G tensors of the module has a scale; else the vector has one, G = 1.
        keys: see `KeyedStage`.
    """

    parts: ClassVar[tuple[str, ...]] = ("signs", "scale")

    def __init__(self, feedback: bool = True, per_tensor: bool = False, keys: Sequence[str] | None = None):
        super().__init__(per_tensor, keys, feedback)

    def compress(self, client: StageClient, key: str, vector: Tensor) -> Wire:
        sizes = self.scaled_sizes(key, vector.shape[1])
        parts = wide(vector).abs().split(sizes, 1)
        scale = torch.cat([(part / part.shape[1]).sum(1, keepdim=True) for part in parts], 1)  # a sum may overflow
        return {"signs": packed(vector >= 0, bits=1), "scale": scale}

    def restore(self, parts: Wire, key: str, size: int, source: StageClient | Sent) -> Tensor:
        scale = parts["scale"]
        sizes = self.scaled_sizes(key, size)
        return (2 * unpacked(parts["signs"], 1, size).to(scale.dtype) - 1) * spread(scale, sizes)
