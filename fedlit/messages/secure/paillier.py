"""Paillier's cipher, where the product of two ciphertexts is a ciphertext of the sum (Paillier 1999, "Public-Key
Cryptosystems Based on Composite Degree Residuosity Classes", scheme 1)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

BITS = 2048
"""Of the modulus n, as NIST SP 800-57 asks for until 2030."""


@dataclass(frozen=True)
class PublicKey:
    """Encrypts integers between -n / 2 and n / 2: c = (1 + m n) r^n mod n^2, with a new random r for each. Numbers are
    gmpy2's, and so is their `pow`.

    Attributes:
        n: the product of two primes.
    """

    n: Any

    @property
    def size(self) -> int:
        """Bytes of a ciphertext."""
        return (2 * self.n.bit_length() + 7) // 8

    def encrypt(self, message: int) -> Any:
        return (1 + message * self.n) * pow(_below(self.n), self.n, self.n**2) % self.n**2

    def add(self, first: Any, second: Any) -> Any:
        """A ciphertext of the sum of two messages."""
        return first * second % self.n**2

    def times(self, ciphertext: Any, factor: int) -> Any:
        """A ciphertext of the message times an integer that the computing party knows."""
        return pow(ciphertext, factor, self.n**2)


@dataclass(frozen=True)
class PrivateKey:
    """Decrypts, and encrypts faster than the public key, because it knows the primes p and q of n.

    >>> key = PrivateKey.generate(bits=256)  # far too few outside an example
    >>> first, second = key.encrypt(-20), key.public.encrypt(62)
    >>> key.decrypt(key.public.add(first, second)), key.decrypt(key.public.times(first, 3))
    (42, -60)
    """

    p: Any
    q: Any

    @classmethod
    def generate(cls, bits: int = BITS) -> PrivateKey:
        """Two primes of the operating system's random bits, whose product has `bits` bits."""
        while True:
            p, q = (_prime(bits // 2) for _ in range(2))
            if p != q and (p * q).bit_length() == bits:
                return cls(p, q)

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.p * self.q)

    def encrypt(self, message: int) -> Any:
        """As `PublicKey.encrypt`: r^n is computed modulo p^2 and q^2."""
        n, r = self.p * self.q, _below(self.p * self.q)
        noise = _crt(pow(r, n, self.p**2), pow(r, n, self.q**2), self.p**2, self.q**2)
        return (1 + message * n) * noise % n**2

    def decrypt(self, ciphertext: Any) -> int:
        """The message, between -n / 2 and n / 2."""
        n = self.p * self.q
        message = _crt(self._modulo(ciphertext, self.p), self._modulo(ciphertext, self.q), self.p, self.q)
        return int(message if message <= n // 2 else message - n)

    def _modulo(self, ciphertext: Any, p: Any) -> Any:
        """The message modulo p: L(c^(p-1) mod p^2) / L((1 + n)^(p-1) mod p^2) mod p, where L(x) = (x - 1) / p."""

        def quotient(x: Any) -> Any:
            return (pow(x, p - 1, p**2) - 1) // p

        return quotient(ciphertext) * pow(quotient(1 + self.p * self.q), -1, p) % p


def _crt(of_p: Any, of_q: Any, p: Any, q: Any) -> Any:
    """The number below p q with these remainders."""
    return of_p + p * ((of_q - of_p) * pow(p, -1, q) % q)


def _below(n: Any) -> Any:
    """A number from 1 to n - 1 that is as good as uniform: 64 bits more than n are drawn."""
    import gmpy2

    return 1 + gmpy2.mpz(int.from_bytes(os.urandom(n.bit_length() // 8 + 9), "big")) % (n - 1)


def _prime(bits: int) -> Any:
    """A random prime whose two highest bits are 1."""
    import gmpy2

    start = int.from_bytes(os.urandom((bits + 7) // 8), "big") % 2**bits
    prime = gmpy2.next_prime(gmpy2.mpz(start | 3 << (bits - 2)))
    return prime if prime.bit_length() == bits else _prime(bits)
