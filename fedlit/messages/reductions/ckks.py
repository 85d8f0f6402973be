"""The mean of messages under the cipher CKKS."""

from __future__ import annotations

import logging
import math

import numpy as np

from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions.encrypted_sum import EncryptedSum
from fedlit.messages.reductions.protocol import ProtocolClient
from fedlit.messages.secure.ciphers import KeyHolder
from fedlit.messages.secure.ckks import LARGEST, NOISE, CkksKeyHolder
from fedlit.messages.secure.installed import check_installed
from fedlit.messages.secure.weighted_sums import WeightedSums
from fedlit.messages.wire import Wire
from fedlit.plurals import counted

log = logging.getLogger(__name__)

NOTICED = 1e-7  # standard deviation of the error of a mean, above which a warning names it


class Ckks(EncryptedSum):
    """The weighted mean by CKKS, which adds encrypted real numbers approximately: the error of a sum of n numbers has
    the standard deviation 6e-10 sqrt(n). It is TenSEAL's and follows no seed: two runs do not have the same bits.

    Under weights by examples the message of client k is encrypted times w_k = n_k / most_examples, and w_k beside it.
    The error of an entry x of the mean then has the standard deviation

        6e-10 sqrt(n (1 + x^2)) / sum_k w_k,

    that is about 6e-10 / sqrt(n) times most_examples / mean n_k: it is large where few clients answer, and where
    `most_examples` is far above their numbers of samples. A warning says so before a run in which it is above 1e-7 on
    average. `reduction/noise_std` has it for x = 0.

    A ciphertext holds 2,048 numbers in 61 KiB, 30 bytes a number, sent up by each client and down to `decryptors`.

    Args:
        range, most_examples: see `HiddenSum`.
        decryptors: see `EncryptedSum`.
    """

    def __init__(self, range: float = 8.0, most_examples: int | None = None, decryptors: int = 1):
        check_installed("reduction=ckks", "tenseal", "he")
        super().__init__(range, most_examples, decryptors)

    def new_keys(self) -> KeyHolder:
        return CkksKeyHolder.generate()

    def check(self, plan: MessagePlan) -> None:
        super().check(plan)
        sums = self.sums_of(plan.weighting, plan.message)
        ratio = sums.most_examples / plan.mean_examples if sums.by_examples else 1.0
        noise = NOISE * ratio / math.sqrt(plan.expected)
        if noise > NOTICED:
            log.warning(
                "reduction: the mean of Ckks has errors of about %.1g, because most_examples=%d is %.3g times the mean "
                "number of samples of a client; write a smaller reduction.most_examples, or reduction=secure, whose "
                "weights are exact",
                noise,
                sums.most_examples,
                ratio,
            )

    def check_sums(self, clients: int, sums: WeightedSums) -> None:
        largest = max(self.range, 1.0) if sums.by_examples else self.range  # a weight is 1 at most
        if clients * largest > LARGEST:
            most = math.floor(1000 * LARGEST / clients) / 1000
            remedy = f"write reduction.range={most:g} or less, or " if most >= 1 else ""
            raise InputError(
                f"reduction: Ckks with range={self.range:g} adds up to {clients * largest:g} over "
                f"{counted(clients, 'client')}, and its sums reach {LARGEST:g} at most; {remedy}ask fewer clients."
            )

    def vectors(self, sums: WeightedSums, client: ProtocolClient, wire: Wire) -> np.ndarray:
        return sums.reals(wire, client.examples)

    def values(self, vector: np.ndarray) -> np.ndarray:
        return vector

    def report(self, sums: np.ndarray, count: int) -> dict[str, float]:
        weight = float(sums[-1]) if self.sums.by_examples else float(count)
        return {"noise_std": NOISE * math.sqrt(count) / weight}
