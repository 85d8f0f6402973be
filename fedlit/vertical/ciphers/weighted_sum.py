"""Sums of many ciphertexts times known numbers, by additions alone (Pippenger 1976, "On the Evaluation of Powers and
Related Problems"; the bucket method)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Add = Callable[[Any, Any], Any]


def weighted_sum(add: Add, subtract: Add, zero: Any, ciphertexts: Sequence[Any], factors: Sequence[int]) -> Any:
    """A ciphertext of sum_i factors[i] m_i.

    Each |factor| is written with digits of w bits. The ciphertexts with the same digit at a place are added first, into
    a bucket; then sum_digit digit bucket[digit] is a sum of partial sums. That is N + 2^(w+1) additions a place of w
    bits, where a product with each factor is one or two additions a bit and a factor.

    >>> from operator import add, sub
    >>> weighted_sum(add, sub, 0, [10, 20, 30], [1, -2, 1000])
    29970
    """
    pairs = [(ciphertext, int(factor)) for ciphertext, factor in zip(ciphertexts, factors, strict=True)]
    positive = [(ciphertext, factor) for ciphertext, factor in pairs if factor > 0]
    negative = [(ciphertext, -factor) for ciphertext, factor in pairs if factor < 0]
    return subtract(_sum(add, zero, positive), _sum(add, zero, negative)) if negative else _sum(add, zero, positive)


def _sum(add: Add, zero: Any, pairs: list[tuple[Any, int]]) -> Any:
    """Of ciphertexts with positive factors."""
    if not pairs:
        return zero
    width = _best_width(len(pairs))
    places = -(-max(factor for _, factor in pairs).bit_length() // width)
    total = None
    for place in reversed(range(places)):
        for _ in range(width if total is not None else 0):
            total = add(total, total)
        of_place = _place(add, pairs, place * width, width)
        if of_place is not None:
            total = of_place if total is None else add(total, of_place)
    return total


def _place(add: Add, pairs: list[tuple[Any, int]], shift: int, width: int) -> Any | None:
    """The sum of the ciphertexts times their digit at one place; None: all digits are 0."""
    buckets: list[Any] = [None] * (1 << width)
    for ciphertext, factor in pairs:
        digit = factor >> shift & (1 << width) - 1
        buckets[digit] = ciphertext if buckets[digit] is None else add(buckets[digit], ciphertext)
    partial, total = None, None  # sum of the buckets from this digit up; sum of these sums
    for bucket in reversed(buckets[1:]):
        if bucket is not None:
            partial = bucket if partial is None else add(partial, bucket)
        if partial is not None:
            total = partial if total is None else add(total, partial)
    return total


def _best_width(count: int) -> int:
    """Of a digit: the number of additions a bit, (count + 2^(w+1)) / w, is smallest."""
    return min(range(1, 17), key=lambda width: (count + 2 ** (width + 1)) / width)
