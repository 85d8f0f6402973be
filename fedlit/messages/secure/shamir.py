"""Shamir's secret sharing (Shamir 1979, "How to Share a Secret") over the integers modulo 2^521 - 1."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence

PRIME = 2**521 - 1
SIZE = 66  # bytes of a share


def shares(secret: int, points: Sequence[int], threshold: int, draw: Callable[[int], bytes]) -> list[int]:
    """f(x) at each point x, of a polynomial f of degree threshold - 1 with f(0) = secret and other coefficients drawn.

    Any `threshold` of them give the secret; fewer say nothing about it, as every value is equally likely.

    >>> import os
    >>> parts = shares(7, [1, 2, 3], threshold=2, draw=os.urandom)
    >>> secret({1: parts[0], 3: parts[2]})
    7

    Args:
        secret: from 0 to PRIME - 1.
        points: different numbers from 1 to PRIME - 1.
        draw: gives as many random bytes as it is asked for.
    """
    coefficients = [_below_prime(draw) for _ in range(threshold - 1)]
    values = []
    for x in points:
        value = 0
        for coefficient in coefficients:  # Horner's rule, the highest power first
            value = (value * x + coefficient) % PRIME
        values.append((value * x + secret) % PRIME)
    return values


def secret(parts: Mapping[int, int]) -> int:
    """f(0) of the polynomial through these points, x -> f(x)."""
    weights = at_zero(tuple(parts))
    return sum(weights[x] * y for x, y in parts.items()) % PRIME


@functools.lru_cache(maxsize=1024)  # a server asks for n - t + 1 choices of points, for every secret
def at_zero(points: tuple[int, ...]) -> dict[int, int]:
    """Lagrange's weights of the points for the value at 0: f(0) = sum_x weight_x f(x) modulo PRIME. They serve all
    secrets that are shared over the same points."""
    weights = {}
    for x in points:
        top = bottom = 1
        for other in points:
            if other != x:
                top, bottom = top * other % PRIME, bottom * (other - x) % PRIME
        weights[x] = top * pow(bottom, -1, PRIME) % PRIME
    return weights


def _below_prime(draw: Callable[[int], bytes]) -> int:
    """Uniform from 0 to PRIME - 1: 521 random bits, drawn again if they are PRIME itself."""
    while (value := int.from_bytes(draw(SIZE), "big") >> 7) == PRIME:
        pass
    return value
