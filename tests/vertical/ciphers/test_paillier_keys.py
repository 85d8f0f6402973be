"""Paillier's cipher really encrypts, and its keys are those of Damgard, Jurik and Nielsen."""

from __future__ import annotations

import math
import pickle

import pytest

from fedlit.vertical.ciphers import Paillier
from fedlit.vertical.ciphers.paillier import PaillierOwner

SMALL = Paillier(bits=256, insecure=True)


@pytest.fixture(scope="module")
def owner() -> PaillierOwner:
    return SMALL.generate()


def textbook(ciphertext: int, p: int, q: int) -> int:
    """L(c^lambda mod n^2) / lambda mod n, for the generator 1 + n."""
    n, carmichael = p * q, math.lcm(p - 1, q - 1)
    return (pow(int(ciphertext), carmichael, n * n) - 1) // n * pow(carmichael, -1, n) % n


def test_both_ways_of_encrypting_are_the_textbook_cipher(owner: PaillierOwner) -> None:
    p, q = int(owner.private.p), int(owner.private.q)
    for key in (owner, SMALL.public(owner.message())):
        for number in (0, 1, -1, 2**127 - 1, -(2**127)):
            assert textbook(key.encrypt(number), p, q) == number % (p * q)
            assert textbook(key.refresh(key.encrypt(number)), p, q) == number % (p * q)


@pytest.mark.parametrize("number", range(8))
def test_primes_and_h_are_those_of_the_paper(number: int) -> None:
    """Each property would hold for some keys by chance."""
    owner = SMALL.generate()
    p, q, n, h_s = (int(x) for x in (owner.private.p, owner.private.q, owner.key.n, owner.key.h_s))
    assert p % 4 == q % 4 == 3 and math.gcd(p - 1, q - 1) == 2 and p * q == n
    assert pow(2, p - 1, p) == pow(2, q - 1, q) == 1
    assert pow(h_s, math.lcm(p - 1, q - 1), n * n) == 1, "an n-th power modulo n^2, a ciphertext of 0"
    root = pow(h_s % n, pow(n, -1, math.lcm(p - 1, q - 1)), n)  # h: the n-th root of h_s modulo n
    assert [pow(-root, (prime - 1) // 2, prime) for prime in (p, q)] == [1, 1], "-h is a square"


@pytest.mark.parametrize("by_owner", [True, False])
def test_two_ciphertexts_of_a_number_differ(owner: PaillierOwner, by_owner: bool) -> None:
    key = owner if by_owner else SMALL.public(owner.message())
    first = key.encrypt(41)
    ciphertexts = {first, *(key.encrypt(41) for _ in range(20)), *(key.refresh(first) for _ in range(20))}
    assert len(ciphertexts) == 41
    assert {owner.decrypt(ciphertext) for ciphertext in ciphertexts} == {41}
    assert all(ciphertext % owner.key.n != (1 + 41 * owner.key.n) % owner.key.n for ciphertext in ciphertexts)


def test_another_key_decrypts_to_something_else(owner: PaillierOwner) -> None:
    assert SMALL.generate().decrypt(owner.encrypt(41)) != 41


def test_neither_prime_is_shown(owner: PaillierOwner) -> None:
    part = owner.message()["key"]
    for prime in (owner.private.p, owner.private.q):
        assert int(prime).to_bytes(16, "big") not in part.tobytes()  # type: ignore[union-attr]
        assert str(prime) not in repr(owner.private)


def test_a_pickled_key_has_no_tables(owner: PaillierOwner) -> None:
    owner.encrypt(1)
    public = SMALL.public(owner.message())
    public.encrypt(1)
    assert len(pickle.dumps(public.key)) < 1000
    assert pickle.loads(pickle.dumps(owner.private)).decrypt(owner.encrypt(-9)) == -9


@pytest.mark.slow
def test_a_key_of_2048_bits() -> None:
    owner = Paillier().generate()
    public = Paillier().public(owner.message())
    assert owner.modulus.bit_length() == 2048
    c = public.add(public.encrypt(-(2**2000)), owner.encrypt(2**2000 + 8))
    assert owner.decrypt(public.times(c, -5)) == -40
