"""Random rounding of each entry to a few levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.sent import Sent
from fedlit.messages.stages.compression import Compression
from fedlit.messages.stages.option_checks import check_number
from fedlit.messages.stages.packed_bits import packed, unpacked
from fedlit.messages.stages.scales import euclidean_norm, largest, nonzero, wide
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import Wire

Norm = Literal["l2", "max"]


class Qsgd(Compression):
    """Each entry is rounded at random to one of s levels between 0 and the norm of its bucket, with its sign (Alistarh
    et al. 2017, "QSGD: Communication-Efficient SGD via Gradient Quantization and Encoding", section 3.1):

        Q_s(v_i) = ||v|| sgn(v_i) xi_i,    xi_i = (l + 1) / s with probability s |v_i| / ||v|| - l, else l / s,

    where l = floor(s |v_i| / ||v||). The mean of Q_s(v) over the draws is v.

    The paper codes the levels by Elias codes; here each is a number of fixed length, -s to s, with the fewest bits that
    divide a byte: 2 for s = 1, 4 for s <= 7, 8 for s <= 127, and 16 above. `key.levels` are these, `key.norm` (K, B)
    the norms: ceil(P bits / 8) + B b bytes for P entries of b bytes in B = ceil(P / bucket) buckets.

    Args:
        levels: s, from 1 to 32767.
        bucket: entries with a norm of their own, the last bucket may be shorter; None: the vector is one bucket.
        norm: "l2" is the Euclidean norm of the paper's theory; "max", the largest absolute value, rounds less, and is
            that of the paper's experiments.
        keys: see `KeyedStage`.
    """

    parts: ClassVar[tuple[str, ...]] = ("levels", "norm")

    def __init__(self, levels: int = 7, bucket: int | None = 512, norm: Norm = "l2", keys: Sequence[str] | None = None):
        check_number(self, "levels", levels, 1, 32767, whole_number=True)
        if bucket is not None:
            check_number(self, "bucket", bucket, 1, whole_number=True)
        if norm not in get_args(Norm):
            raise InputError(f"{type(self).__name__}: norm={norm}; write {' or '.join(get_args(Norm))}.")
        super().__init__(keys)
        self.levels, self.bucket, self.norm = levels, bucket, norm

    @property
    def bits(self) -> int:
        """Of an entry on the wire."""
        return next((bits for bits in (2, 4, 8) if 2 * self.levels + 1 <= 2**bits), 16)

    def compress(self, client: StageClient, key: str, vector: Tensor) -> Wire:
        vector, size = wide(vector), vector.shape[1]
        buckets = self._buckets(vector)
        norm = (euclidean_norm if self.norm == "l2" else largest)(buckets)
        exact = (buckets.abs() / nonzero(norm) * self.levels).flatten(1)[:, :size]
        level = randomly_rounded(exact, client.draw("uniform", f"rounding {key}", vector)).clamp_max(self.levels)
        signed = level * vector.sign()
        sent = signed.to(torch.int16) if self.bits == 16 else packed(signed + self.levels, self.bits)
        return {"levels": sent, "norm": norm[..., 0]}

    def restore(self, parts: Wire, key: str, size: int, source: StageClient | Sent) -> Tensor:
        norm = parts["norm"]
        if self.bits == 16:
            signed = parts["levels"].to(norm.dtype)
        else:
            signed = unpacked(parts["levels"], self.bits, size).to(norm.dtype) - self.levels
        return (self._buckets(signed / self.levels) * norm[..., None]).flatten(1)[:, :size]

    def _buckets(self, vector: Tensor) -> Tensor:
        """(K, P) as (K, B, bucket), with zeros at the end."""
        bucket = min(self.bucket or vector.shape[1], vector.shape[1])
        return torch.nn.functional.pad(vector, (0, -vector.shape[1] % bucket)).unflatten(1, (-1, bucket))


def randomly_rounded(exact: Tensor, uniform: Tensor) -> Tensor:
    """One of the two next whole numbers, whose mean over uniform draws from [0, 1) is the exact number."""
    lower = exact.floor()
    return lower + (uniform < exact - lower)
