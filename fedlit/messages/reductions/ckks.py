"""The mean of messages under the cipher CKKS."""

from __future__ import annotations

import numpy as np

from fedlit.errors import InputError
from fedlit.messages.reductions.encrypted_sum import EncryptedSum
from fedlit.messages.reductions.protocol import ProtocolClient
from fedlit.messages.secure.ciphers import KeyHolder
from fedlit.messages.secure.ckks import LARGEST, CkksKeyHolder
from fedlit.messages.secure.installed import check_installed
from fedlit.messages.secure.weighted_sums import WeightedSums
from fedlit.messages.wire import Wire
from fedlit.plurals import counted


class Ckks(EncryptedSum):
    """The weighted mean by CKKS, which adds encrypted real numbers approximately: each sum is off by about 4e-9. With
    weights by examples the message of client k is encrypted times n_k / most_examples, so that the mean is off by about
    4e-9 most_examples / mean n_k. The noise is TenSEAL's and follows no seed: two runs do not have the same bits.

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

    def check_sums(self, clients: int, sums: WeightedSums) -> None:
        if clients * self.range > LARGEST:
            raise InputError(
                f"reduction: Ckks with range={self.range:g} adds up to {clients * self.range:g} over "
                f"{counted(clients, 'client')}, and its sums reach {LARGEST:g} at most; write reduction.range="
                f"{LARGEST / clients:g} or less, or ask fewer clients."
            )

    def vectors(self, sums: WeightedSums, client: ProtocolClient, wire: Wire) -> np.ndarray:
        return sums.reals(wire, client.examples)

    def values(self, vector: np.ndarray) -> np.ndarray:
        return vector
