"""The encrypted vectors of each cipher."""

from __future__ import annotations

from fedlit.errors import InputError
from fedlit.vertical.ciphers.base import Cipher, IntegerCipher
from fedlit.vertical.ciphers.ckks import Ckks
from fedlit.vertical.linear.real_vectors import RealVectors, RealVectorsOwner
from fedlit.vertical.linear.vectors import Vectors, VectorsOwner
from fedlit.vertical.linear.whole_vectors import WholeVectors, WholeVectorsOwner
from fedlit.vertical.party import Message


def new_vectors(cipher: Cipher) -> VectorsOwner:
    """A new key pair.

    Raises:
        InputError: the cipher adds neither whole numbers nor real ones.
    """
    if isinstance(cipher, IntegerCipher):
        return WholeVectorsOwner(cipher.generate())
    if isinstance(cipher, Ckks):
        return RealVectorsOwner(cipher.generate())
    raise InputError(
        f"cipher={cipher.name} adds no numbers that linear protocols can use; write cipher=paillier, ou, ckks or plain."
    )


def public_vectors(cipher: Cipher, message: Message) -> Vectors:
    """
    Args:
        message: of `VectorsOwner.message`.
    """
    if isinstance(cipher, Ckks):
        return RealVectors(cipher.public(message))
    assert isinstance(cipher, IntegerCipher)
    return WholeVectors(cipher.public(message))
