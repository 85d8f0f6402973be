"""Additively homomorphic ciphers for parties: a key's owner decrypts, everybody else adds."""

from fedlit.vertical.ciphers.base import Cipher, IntegerCipher, OwnerKey, PublicKey
from fedlit.vertical.ciphers.ckks import Ckks
from fedlit.vertical.ciphers.ou import Ou
from fedlit.vertical.ciphers.paillier import Paillier
from fedlit.vertical.ciphers.plain import Plain

__all__ = ["Cipher", "Ckks", "IntegerCipher", "Ou", "OwnerKey", "Paillier", "PublicKey", "Plain"]
