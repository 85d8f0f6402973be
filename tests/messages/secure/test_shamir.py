"""Shamir's shares: any t give the secret, and fewer say nothing."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from fedlit.messages.secure import shamir


def test_any_t_shares_give_the_secret() -> None:
    for secret in (0, 1, 2**256 - 1, shamir.PRIME - 1):
        shares = dict(zip((1, 2, 5, 9, 40), shamir.shares(secret, (1, 2, 5, 9, 40), 3, os.urandom), strict=True))
        for chosen in itertools.combinations(shares, 3):
            assert shamir.secret({x: shares[x] for x in chosen}) == secret
        assert shamir.secret(shares) == secret
        assert all(0 <= share < shamir.PRIME < 256**shamir.SIZE for share in shares.values())


@pytest.mark.parametrize("threshold", [2, 3])
def test_fewer_shares_say_nothing(threshold: int) -> None:
    """Whatever t - 1 shares are seen, each secret has exactly one polynomial: all are equally likely."""
    points = tuple(range(1, threshold))
    seen = dict(zip(points, shamir.shares(12345, points, threshold, os.urandom), strict=True))
    for guess in (0, 1, 12345, 2**255, shamir.PRIME - 1):
        # the share at 7 that this guess would have: each guess has another one
        at_7 = sum(_lagrange(x, [*seen, 0], 7) * y for x, y in (seen | {0: guess}).items()) % shamir.PRIME
        assert shamir.secret(seen | {7: at_7}) == guess


def _lagrange(x: int, points: list[int], at: int) -> int:
    value = 1
    for other in points:
        if other != x:
            value = value * (at - other) * pow(x - other, -1, shamir.PRIME) % shamir.PRIME
    return value


@pytest.mark.parametrize(("threshold", "at"), [(2, 0), (3, 0), (3, 1)])
def test_t_minus_1_shares_of_two_secrets_have_the_same_distribution(threshold: int, at: int) -> None:
    """The top bits of a share, for the secrets 0 and 2^256 - 1: each of 16 values comes as often as the others."""
    for secret in (0, 2**256 - 1):
        shares = [shamir.shares(secret, (1, 2), threshold, os.urandom)[at] for _ in range(4000)]
        counts, expected = np.bincount([share >> 517 for share in shares], minlength=16), 4000 / 16
        # chi-squared with 15 degrees of freedom is above 80 by chance with a probability of 7e-11
        assert ((counts - expected) ** 2 / expected).sum() < 80


def test_a_single_share_is_not_the_secret() -> None:
    shares = shamir.shares(77, (1, 2, 3), 3, os.urandom)
    assert 77 not in shares and shamir.secret({1: shares[0], 2: shares[1]}) != 77
