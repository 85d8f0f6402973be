"""Each entry as -1, 0 or 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from fedlit.messages.sent import Sent
from fedlit.messages.stages.option_checks import check_number
from fedlit.messages.stages.packed_bits import packed, unpacked
from fedlit.messages.stages.qsgd import randomly_rounded
from fedlit.messages.stages.scales import largest, nonzero, root_mean_square, spread, wide
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.stages.tensorwise import TensorwiseCompression
from fedlit.messages.wire import Wire


class TernGrad(TensorwiseCompression):
    """Each entry becomes s sgn(g_i) b_i, where s = max |g| and b_i is 1 with probability |g_i| / s and else 0 (Wen et
    al. 2017, "TernGrad: Ternary Gradients to Reduce Communication in Distributed Deep Learning", equations 1 to 3). The
    mean over the draws is g.

    Before, entries are clipped to c sigma (section 4.2), which makes s and the noise smaller, and the result biased:
    the mean over the draws is then the clipped g. The paper's sigma is the standard deviation, for a mean of about 0.
    Here it is the root mean square, so that a tensor with a single number is not clipped to 0.

    `key.signs` has 2 bits an entry, 4 a byte, `key.scale` (K, G) the s: ceil(P / 4) + G b bytes for P entries of b
    bytes and G tensors. The paper's servers share the largest s among the clients, to sum without decoding; here each
    client has its own.

    Args:
        clip: c; None: no clipping.
        per_tensor: s and sigma are those of each tensor of the module, as in the paper; else of the vector.
        keys: see `KeyedStage`.
    """

    parts: ClassVar[tuple[str, ...]] = ("signs", "scale")

    def __init__(self, clip: float | None = 2.5, per_tensor: bool = True, keys: Sequence[str] | None = None):
        if clip is not None:
            check_number(self, "clip", clip, 0, low_open=True)
        super().__init__(per_tensor, keys)
        self.clip = clip

    def compress(self, client: StageClient, key: str, vector: Tensor) -> Wire:
        sizes = self.scaled_sizes(key, vector.shape[1])
        vector = wide(vector)
        if self.clip is not None:
            sigma = torch.cat([root_mean_square(part) for part in vector.split(sizes, 1)], 1)
            limit = spread(self.clip * sigma, sizes)
            vector = vector.clamp(-limit, limit)
        scale = torch.cat([largest(part) for part in vector.split(sizes, 1)], 1)
        exact = vector.abs() / nonzero(spread(scale, sizes))
        kept = randomly_rounded(exact, client.draw("uniform", f"rounding {key}", vector))
        return {"signs": packed(kept * vector.sign() + 1, bits=2), "scale": scale}

    def restore(self, parts: Wire, key: str, size: int, source: StageClient | Sent) -> Tensor:
        scale = parts["scale"]
        sizes = self.scaled_sizes(key, size)
        return (unpacked(parts["signs"], 2, size).to(scale.dtype) - 1) * spread(scale, sizes)
