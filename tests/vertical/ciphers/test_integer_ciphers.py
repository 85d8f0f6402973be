"""Every cipher of whole numbers: sums, products, wrapping around, messages, workers."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from fedlit.errors import InputError
from fedlit.vertical.ciphers import IntegerCipher, Ou, OwnerKey, Paillier, Plain
from fedlit.vertical.party import Part, Sealed

CIPHERS: dict[str, IntegerCipher] = {
    "plain": Plain(bits=256),
    "paillier": Paillier(bits=256, insecure=True),
    "paillier by 3 workers": Paillier(bits=256, workers=3, insecure=True),
    "ou": Ou(bits=1024),
}


@pytest.fixture(scope="module", params=CIPHERS)
def cipher(request: pytest.FixtureRequest) -> IntegerCipher:
    if request.param == "ou":
        pytest.importorskip("heu", reason="sf-heu has no release for this Python")
    return CIPHERS[request.param]


@pytest.fixture(scope="module")
def owner(cipher: IntegerCipher) -> OwnerKey:
    return cipher.generate()


@pytest.mark.parametrize("by_owner", [True, False])
def test_arithmetic_is_that_of_whole_numbers(cipher: IntegerCipher, owner: OwnerKey, by_owner: bool) -> None:
    key = owner if by_owner else cipher.public(owner.message())
    a, b = -(2**100) + 7, 2**120 - 5
    c, d = key.encrypt_all([a, b])
    results = [
        (c, a),
        (key.add(c, d), a + b),
        (key.subtract(c, d), a - b),
        (key.times(c, -12345), -12345 * a),
        (key.times(d, 2**40), b * 2**40),
        (key.refresh(key.add(c, key.zero())), a),
        (key.subtract(key.zero(), d), -b),
        (key.times(c, 2**100 + 3), a * (2**100 + 3)),
        (key.encrypt(np.int64(-3)), -3),
    ]
    assert owner.decrypt_all([ciphertext for ciphertext, _ in results]) == [number for _, number in results]


@pytest.mark.parametrize("count", [1, 5, 60])
def test_weighted_sums_are_sums_of_products(owner: OwnerKey, count: int) -> None:
    random = np.random.default_rng(count)
    numbers = [int(x) for x in random.integers(-(2**40), 2**40, count)]
    ciphertexts = owner.encrypt_all(numbers)
    for low, high in ((-(2**42), 2**42), (0, 2**42), (-5, 1), (0, 1)):
        factors = random.integers(low, high, count)
        expected = sum(x * int(factor) for x, factor in zip(numbers, factors, strict=True))
        assert owner.decrypt(owner.weighted_sum(ciphertexts, factors)) == expected
    assert owner.decrypt(owner.weighted_sum([], [])) == 0


def test_sums_wrap_around_the_modulus(owner: OwnerKey) -> None:
    """A uniform mask that is added and taken off leaves the number, as if the sum had not passed n / 2."""
    n = owner.modulus
    if not owner.wraps:
        largest = n // 2
        assert owner.decrypt(owner.encrypt(largest)) == largest
        assert owner.decrypt(owner.subtract(owner.encrypt(-largest), owner.encrypt(-7))) == 7 - largest
        return
    assert n.bit_length() in (256, 257)
    for mask in (0, 1, n // 2, n - 1, n // 3):
        masked = owner.decrypt(owner.add(owner.encrypt(-77), owner.encrypt(mask)))
        assert -n <= 2 * masked <= n and (masked - (mask - 77)) % n == 0
    half = (n - 1) // 2
    assert owner.decrypt(owner.encrypt(half)) == half and owner.decrypt(owner.encrypt(-half)) == -half
    assert owner.decrypt(owner.add(owner.encrypt(half), owner.encrypt(2))) == half + 2 - n


def test_a_part_of_a_message_gives_the_same_ciphertexts(cipher: IntegerCipher, owner: OwnerKey) -> None:
    public = cipher.public(owner.message())
    ciphertexts = public.encrypt_all([5, -5, 2**80, 0, 1, -1])
    part = public.seal(ciphertexts, (2, 3))
    if cipher.hides:
        assert isinstance(part, Sealed) and part.shape == (2, 3) and len({len(blob) for blob in part.blobs}) == 1
    else:
        assert isinstance(part, np.ndarray) and part.dtype == np.uint8 and part.shape == (6, 32)
    assert np.array_equal(bytes_of(owner.seal(owner.opened(part))), bytes_of(part))
    assert owner.decrypt_all(public.opened(part)) == [5, -5, 2**80, 0, 1, -1]
    assert public.opened(public.seal([])) == []


def bytes_of(part: Part) -> np.ndarray:
    return part if isinstance(part, np.ndarray) else np.array(part.blobs)


def test_the_message_of_a_key_has_one_part_of_bytes(owner: OwnerKey) -> None:
    ((name, part),) = owner.message().items()
    assert name == "key" and isinstance(part, np.ndarray) and part.dtype == np.uint8


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_work_is_spread_in_order(workers: int) -> None:
    key, processes = Plain(workers=workers).generate(), set()
    for number, (square, process) in enumerate(key.spread(lambda i: (i * i, os.getpid()), range(11))):
        assert square == number**2
        processes.add(process)
    assert len(processes) == workers and os.getpid() in processes
    assert key.spread(lambda i: i, []) == []


def test_an_error_of_a_worker_is_the_error_of_the_call() -> None:
    key = Plain(workers=2).generate()
    with pytest.raises(ZeroDivisionError):
        key.spread(lambda i: 1 // i, [1, 0])
    parent = os.getpid()

    def die(i: int) -> None:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(RuntimeError, match="ended before its work was done"):
        key.spread(die, [1, 2])


def test_bad_options_are_refused() -> None:
    with pytest.raises(InputError, match=r"cipher\.bits=512 is a key that can be factored"):
        Paillier(bits=512).check()
    with pytest.raises(InputError, match="1024 is the least; write cipher.bits=2048"):
        Paillier(bits=1022).generate()
    with pytest.raises(InputError, match="cipher.workers=0 is no number of processes"):
        Paillier(workers=0).check()
    with pytest.raises(InputError, match="cipher.workers=1.5"):
        Plain(workers=1.5).check()  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cipher.bits=8 is too few"):
        Plain(bits=8).check()
    weak = Paillier(bits=512, insecure=True).generate()
    with pytest.raises(InputError, match="cipher.bits=512 is a key that can be factored"):
        Paillier().public(weak.message())


def test_ou_is_refused_where_its_package_has_no_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedlit.vertical.ciphers.ou.find_spec", lambda module: None)
    monkeypatch.setattr("sys.version_info", (3, 12, 1))
    with pytest.raises(InputError, match=r"has no release for Python 3\.12; write cipher=paillier"):
        Ou().check()
    monkeypatch.setattr("sys.version_info", (3, 11, 1))
    monkeypatch.setattr("fedlit.messages.secure.installed.find_spec", lambda module: None)
    with pytest.raises(InputError, match=r"cipher=ou needs the package sf-heu; run: pip install 'fedlit\[ou\]'"):
        Ou().check()


def test_few_bits_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    Paillier(bits=2048).check()
    assert not caplog.records
    Paillier(bits=1024).check()
    assert "cipher=paillier: a key of 1,024 bits may be factored" in caplog.text


def test_a_missing_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedlit.messages.secure.installed.find_spec", lambda package: None)
    with pytest.raises(InputError, match=r"cipher=paillier needs the package gmpy2; run: pip install 'fedlit\[he\]'"):
        Paillier().check()
