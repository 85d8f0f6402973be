"""Keys that two clients share without having met, and messages that only those can read who have a key.

X25519 (RFC 7748), HKDF with SHA-256 (RFC 5869), AES-GCM and AES-CTR with keys of 256 bits, all from `cryptography`,
which is imported where it is used: most runs need none of it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

KEY = 32  # bytes of each key
TAG = 16  # bytes that AES-GCM adds to a text


def public_key(private: bytes) -> bytes:
    """The public key (32 bytes) of a private one."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def shared_keys(private: bytes, public: Iterable[bytes], purpose: str) -> list[bytes]:
    """The key (32 bytes) that a client has in common with each of others, from its private key and their public ones.

    >>> first, second = bytes(range(32)), bytes(range(1, 33))
    >>> shared_keys(first, [public_key(second)], "mask") == shared_keys(second, [public_key(first)], "mask")
    True

    Raises:
        ValueError: a public key is none, so that the result would be the same for every private key.
    """
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    exchange = X25519PrivateKey.from_private_bytes(private).exchange  # loading the key takes longer than its use
    return [derived_key(exchange(X25519PublicKey.from_public_bytes(key)), purpose) for key in public]


def derived_key(secret: bytes, purpose: str) -> bytes:
    """The key (32 bytes) of a secret for a purpose; keys for other purposes say nothing about it."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(hashes.SHA256(), KEY, salt=None, info=purpose.encode()).derive(secret)


def sealed(key: bytes, nonce: bytes, text: bytes, facts: bytes) -> bytes:
    """The text, encrypted and authenticated by AES-GCM; TAG bytes longer.

    Args:
        nonce: 12 bytes, which must not be used twice with a key.
        facts: what the receiver knows already, and what the seal holds too.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).encrypt(nonce, text, facts)


def unsealed(key: bytes, nonce: bytes, box: bytes, facts: bytes) -> bytes | None:
    """The text of a sealed one; None if the key, the nonce or the facts are others, or the box was changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(nonce, box, facts)
    except InvalidTag:
        return None


def mask(key: bytes, size: int, dtype: np.dtype) -> np.ndarray:
    """(size,) unsigned integers of `dtype`: the stream of AES-CTR under a key that serves one mask only."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return np.frombuffer(encryptor.update(bytes(size * dtype.itemsize)), dtype)
