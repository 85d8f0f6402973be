"""The mean of messages under Paillier's cipher."""

from __future__ import annotations

import numpy as np

from fedlit.errors import InputError
from fedlit.messages.reductions.encrypted_sum import EncryptedSum
from fedlit.messages.reductions.hidden_sum import check_positive
from fedlit.messages.reductions.protocol import ProtocolClient
from fedlit.messages.secure.ciphers import KeyHolder
from fedlit.messages.secure.fixed_point import FixedPoint
from fedlit.messages.secure.installed import check_installed
from fedlit.messages.secure.packed_paillier import PaillierKeyHolder
from fedlit.messages.secure.paillier import PrivateKey
from fedlit.messages.secure.weighted_sums import WeightedSums
from fedlit.messages.wire import Wire
from fedlit.plurals import counted


class Paillier(EncryptedSum):
    """The weighted mean by Paillier's cipher, which adds encrypted integers exactly; for teaching, because a client
    needs half a millisecond for each ciphertext. The modulus has 2,048 bits. An entry is rounded to a multiple of
    `step`, and weighed by n_k. Sums are signed numbers of 64 bits, of which 31 are packed into one ciphertext of 512
    bytes: 16.5 bytes a number.

    Args:
        range, most_examples: see `HiddenSum`.
        decryptors: see `EncryptedSum`.
        step: the distance of two values that can be told apart.
    """

    BITS = 64

    def __init__(
        self, range: float = 8.0, most_examples: int | None = None, decryptors: int = 1, step: float = 2.0**-30
    ):
        check_installed("reduction=paillier", "gmpy2", "he")
        super().__init__(range, most_examples, decryptors)
        check_positive("step", step)
        self.ring = FixedPoint(self.BITS, step)

    def new_keys(self) -> KeyHolder:
        return PaillierKeyHolder(PrivateKey.generate(), self.BITS)

    def check_sums(self, clients: int, sums: WeightedSums) -> None:
        if sums.largest_weight(clients) * (self.range / self.ring.step + 1) >= 2 ** (self.BITS - 1):
            raise InputError(
                f"reduction: the sums of Paillier with range={self.range:g} and step={self.ring.step:g} may leave 64 "
                f"bits with {counted(clients, 'client')} of up to {counted(sums.most_examples, 'sample')}; write a "
                "smaller reduction.range, or a larger reduction.step."
            )

    def vectors(self, sums: WeightedSums, client: ProtocolClient, wire: Wire) -> np.ndarray:
        return np.stack(list(sums.integers(wire, client.examples, self.ring)))

    def values(self, vector: np.ndarray) -> np.ndarray:
        values = vector * self.ring.step
        if self.sums.by_examples:
            values[-1] = vector[-1]  # the sum of all n_k
        return values
