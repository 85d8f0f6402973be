"""Paillier's cipher, where the product of two ciphertexts is a ciphertext of the sum (Paillier 1999, "Public-Key
Cryptosystems Based on Composite Degree Residuosity Classes", scheme 1), with the short exponents of Damgard, Jurik and
Nielsen 2010, "A Generalization of Paillier's Public-Key System with Applications to Electronic Voting", section 4.2."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fedlit.messages.secure.fixed_base import FixedBase

BITS = 2048
"""Of the modulus n, as NIST SP 800-57 asks for until 2030."""


@dataclass(frozen=True)
class PublicKey:
    """Encrypts integers between -n / 2 and n / 2: c = (1 + m n) h_s^r mod n^2, with a new random r of |n| / 2 bits for
    each. Numbers are gmpy2's, and so is their `pow`.

    Such an h_s^r cannot be told apart from a random n-th power, as long as a random power of h with a short exponent
    cannot be told apart from one with a long exponent (the paper's assumption, in addition to Paillier's).

    Attributes:
        n: the product of two primes p and q, both 3 modulo 4.
        h_s: h^n mod n^2, where h = -x^2 mod n for a random x.
    """

    n: Any
    h_s: Any

    @property
    def size(self) -> int:
        """Bytes of a ciphertext."""
        return (2 * self.n.bit_length() + 7) // 8

    @cached_property
    def square(self) -> Any:
        """n^2, the modulus of ciphertexts."""
        return self.n**2

    @cached_property
    def powers(self) -> FixedBase:
        """Of h_s, by a table: 16 MiB at 2,048 bits."""
        return FixedBase(self.h_s, self.square, _exponent_size(self.n))

    def noise(self) -> Any:
        """A random ciphertext of 0."""
        return self.powers.power(os.urandom(self.powers.size))

    def encrypt(self, message: int) -> Any:
        return (1 + message * self.n) * self.noise() % self.square

    def refresh(self, ciphertext: Any) -> Any:
        """Another ciphertext of the same message."""
        return ciphertext * self.noise() % self.square

    def add(self, first: Any, second: Any) -> Any:
        """A ciphertext of the sum of two messages."""
        return first * second % self.square

    def times(self, ciphertext: Any, factor: int) -> Any:
        """A ciphertext of the message times an integer that the computing party knows."""
        return pow(ciphertext, factor, self.square)


@dataclass(frozen=True)
class PrivateKey:
    """Decrypts, and encrypts faster than the public key, because it knows the primes p and q of n and computes modulo
    p^2 and q^2.

    >>> key = PrivateKey.generate(bits=256)  # far too few outside an example
    >>> first, second = key.encrypt(-20), key.public.encrypt(62)
    >>> key.decrypt(key.public.add(first, second)), key.decrypt(key.public.times(first, 3))
    (42, -60)

    Attributes:
        p, q: primes, both 3 modulo 4, with gcd(p - 1, q - 1) = 2: the squares are then a cyclic group.
        public: the public key, in which h_s is a random one of these primes.
    """

    p: Any = field(repr=False)
    q: Any = field(repr=False)
    public: PublicKey

    @classmethod
    def generate(cls, bits: int = BITS) -> PrivateKey:
        """Two primes of the operating system's random bits, whose product has `bits` bits."""
        while True:
            p, q = (_prime(bits // 2) for _ in range(2))
            if math.gcd(int(p - 1), int(q - 1)) == 2 and (p * q).bit_length() == bits:
                return cls(p, q, PublicKey(p * q, _random_power(p * q)))

    @cached_property
    def halves(self) -> tuple[Half, Half]:
        return Half(self.p, self.public), Half(self.q, self.public)

    @cached_property
    def _inverse(self) -> tuple[Any, Any]:
        """Of p modulo q, and of p^2 modulo q^2."""
        return pow(self.p, -1, self.q), pow(self.p, -2, self.q**2)

    def noise(self) -> Any:
        """As `PublicKey.noise`."""
        of_p, of_q = self.halves
        exponent = os.urandom(of_p.powers.size)
        first, second = of_p.powers.power(exponent), of_q.powers.power(exponent)
        return first + of_p.square * ((second - first) * self._inverse[1] % of_q.square)

    def encrypt(self, message: int) -> Any:
        """As `PublicKey.encrypt`."""
        return (1 + message * self.public.n) * self.noise() % self.public.square

    def decrypt(self, ciphertext: Any) -> int:
        """The message, between -n / 2 and n / 2."""
        of_p, of_q = (half.message(ciphertext) for half in self.halves)
        message, n = of_p + self.p * ((of_q - of_p) * self._inverse[0] % self.q), self.public.n
        return int(message if message <= n // 2 else message - n)


class Half:
    """Arithmetic modulo the square of a prime of n.

    Attributes:
        powers: of h_s modulo p^2. It is an n-th power, so its order there divides p - 1.
    """

    def __init__(self, p: Any, public: PublicKey):
        self.p, self.square = p, p**2
        self.powers = FixedBase(public.h_s, self.square, _exponent_size(public.n))
        self._inverse = pow(self._quotient(1 + public.n), -1, p)

    def message(self, ciphertext: Any) -> Any:
        """The message modulo p: L(c^(p-1) mod p^2) / L((1 + n)^(p-1) mod p^2) mod p, where L(x) = (x - 1) / p."""
        return self._quotient(ciphertext) * self._inverse % self.p

    def _quotient(self, x: Any) -> Any:
        return (pow(x, self.p - 1, self.square) - 1) // self.p


def _exponent_size(n: Any) -> int:
    """Bytes of an exponent of |n| / 2 bits or a few more."""
    return (n.bit_length() + 15) // 16


def _random_power(n: Any) -> Any:
    """h^n mod n^2 for h = -x^2 mod n and a random x. 64 bits more than n are drawn, so that x is as good as uniform."""
    import gmpy2

    x = gmpy2.mpz(int.from_bytes(os.urandom(n.bit_length() // 8 + 9), "big")) % n
    return pow(-x * x % n, n, n**2) if gmpy2.gcd(x, n) == 1 else _random_power(n)


def _prime(bits: int) -> Any:
    """A random prime that is 3 modulo 4 and whose two highest bits are 1."""
    import gmpy2

    while True:
        start = int.from_bytes(os.urandom((bits + 7) // 8), "big") % 2**bits
        prime = gmpy2.next_prime(gmpy2.mpz(start | 3 << (bits - 2)))
        if prime.bit_length() == bits and prime % 4 == 3:
            return prime
