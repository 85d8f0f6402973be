"""Sums of derivatives, packed and compressed, are the sums in whole numbers."""

from __future__ import annotations

import numpy as np
import pytest

from fedlit.errors import InputError
from fedlit.vertical.ciphers.base import OwnerKey
from fedlit.vertical.ciphers.paillier import Paillier
from fedlit.vertical.ciphers.plain import Plain
from fedlit.vertical.secureboost import SecureBoost
from fedlit.vertical.secureboost.packing import Packing
from tests.vertical.secureboost.samples import parties
from tests.vertical.secureboost.stepped import run

KEYS = [Plain(1024), Paillier(1024, insecure=True)]


@pytest.fixture(scope="module", params=KEYS, ids=lambda cipher: cipher.name)
def key(request: pytest.FixtureRequest) -> OwnerKey:
    return request.param.generate()


def test_extreme_sums_come_back(key: OwnerKey) -> None:
    """All derivatives of all people at the ends of their ranges, beside each other in one ciphertext."""
    packing = Packing.of(people := 2**20 - 1)
    end = people << packing.fraction
    g = np.array([end, -end, -end, 0, end, -1, 1, 0, -end])
    h = np.array([end, end, 0, end, 0, 0, end, 1, 1])
    sums = packing.packed(g, h)
    capacity = packing.capacity(key)
    assert capacity == (1022 if isinstance(key, type(KEYS[1].generate())) else 1023) // 121 == 8
    for order in (slice(0, 8), slice(1, 9), slice(8, 9)):
        sealed = packing.compressed(key, key.encrypt_all(sums[order]))
        opened = packing.opened(key.decrypt(sealed), len(sums[order]))
        assert opened == sums[order]
        assert [part.tolist() for part in packing.unpacked(opened)] == [g[order].tolist(), h[order].tolist()]


def test_sums_of_samples_are_the_sums_of_both_numbers() -> None:
    packing, rng = Packing.of(1000), np.random.default_rng(0)
    g, h = rng.integers(-(2**40), 2**40 + 1, 1000), rng.integers(0, 2**40 + 1, 1000)
    total = packing.unpacked([sum(packing.packed(g, h))])
    assert [int(part[0]) for part in total] == [int(g.sum()), int(h.sum())]


def test_many_people_leave_fewer_bits_for_the_fraction() -> None:
    for people in (1, 2**22 - 1, 2**22, 2**30):
        packing = Packing.of(people)
        assert packing.fraction == min(40, 62 - people.bit_length()) and people << packing.fraction < 2**63


def test_a_compressed_ciphertext_is_refreshed() -> None:
    key, packing = Paillier(256, insecure=True).generate(), Packing.of(10)
    only = key.encrypt(5)
    assert packing.compressed(key, [only]) != only


def test_a_short_key_is_refused() -> None:
    with pytest.raises(InputError, match=r"cipher.bits=65 is too few .* 133 people, which takes 99 bits"):
        run(SecureBoost(), parties(), 0, Plain(64))
