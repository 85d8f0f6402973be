"""Keyed random numbers: no draw depends on the order of work.

Every random number comes from a stream named by its purpose, such as `generator(seed, "cohort", round)`. Any engine,
any number of workers and a resumed run then give the same bits, and no generator's state needs to be saved.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import torch
from torch import Tensor

Key = int | str


def key_number(*key: Key) -> int:
    """A 128-bit number for a key of ints and words; the same on every machine and in every process."""
    text = repr(tuple(k if isinstance(k, str) else int(k) for k in key))  # int, because NumPy prints its ints otherwise
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "little")


def generator(*key: Key) -> np.random.Generator:
    """The stream of random numbers for a key of ints and words, from the counter-based generator Philox.

    >>> generator(0, "cohort", 1).integers(0, 1000, 3)
    array([523, 214, 831])
    """
    return np.random.Generator(np.random.Philox(key=key_number(*key)))


def seed_number(*key: Key) -> int:
    """A non-negative 63-bit number for a key: a seed for other generators, or the `key` of `keyed_bits`."""
    return key_number(*key) & (2**63 - 1)


def keyed_bits(key: int | Tensor, index: Tensor) -> Tensor:
    """32 random bits (int64, 0 to 2**32 - 1) for each pair of `key` and `index`, which broadcast (both int64).

    A function of its arguments alone: the draw of a sample is the same in any batch or stack and on any device. With
    wrapping 64-bit integers it is splitmix64 (Steele, Lea, Flood 2014):

        x = index * golden + key
        x = (x ^ x >> 30) * first
        x = (x ^ x >> 27) * second
        bits = (x ^ x >> 31) >> 32
    """

    def shifted(x: Tensor, bits: int) -> Tensor:  # a logical shift, because torch's >> keeps the sign
        return (x >> bits) & ((1 << (64 - bits)) - 1)

    x = index * _GOLDEN + key
    x = (x ^ shifted(x, 30)) * _FIRST
    x = (x ^ shifted(x, 27)) * _SECOND
    return shifted(x ^ shifted(x, 31), 32)


def keyed_uniform(key: int | Tensor, index: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform numbers in [0, 1) with 24 random bits, one for each pair of `key` and `index` (see `keyed_bits`)."""
    return (keyed_bits(key, index) >> 8).to(dtype) / 2**24


def keyed_words(key: np.ndarray, index: np.ndarray) -> np.ndarray:
    """`keyed_bits` for NumPy: 64 random bits (uint64) for each pair of `key` and `index`, which broadcast (uint64)."""
    with np.errstate(over="ignore"):
        x = index * np.uint64(0x9E3779B97F4A7C15) + key
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word


_GOLDEN, _FIRST, _SECOND = (_signed(w) for w in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
