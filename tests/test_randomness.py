"""Keyed random numbers are reproducible and random."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import torch

from fedlit.randomness import generator, keyed_bits, keyed_uniform, seed_number


def splitmix64(state: int) -> int:
    """The published mixer, in Python's integers; `state` is the advanced state."""
    z = state % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_keyed_bits_are_the_upper_half_of_splitmix64():
    index = torch.tensor([0, 1, 2, 77, 2**40, 2**62])
    for key in (0, 1, 123456789, 2**62 + 5):
        wanted = [splitmix64(key + i * 0x9E3779B97F4A7C15) >> 32 for i in index.tolist()]
        assert keyed_bits(key, index).tolist() == wanted


def test_the_first_number_of_splitmix64_with_seed_zero_is_the_published_one():
    assert keyed_bits(0, torch.tensor([1])).item() == 0xE220A8397B1DCDAF >> 32  # published first output of seed 0


def test_bits_are_uniform():
    n = 1 << 16
    bits = keyed_bits(seed_number(0, "x"), torch.arange(n))
    assert bits.min() >= 0 and bits.max() < 2**32
    for place in range(32):  # a fair bit is off by more than 5 sigma once in two million
        ones = int(((bits >> place) & 1).sum())
        assert abs(ones - n / 2) < 5 * (n / 4) ** 0.5, place
    counts = torch.bincount(bits >> 24, minlength=256).double()
    chi = float(((counts - n / 256) ** 2 / (n / 256)).sum())
    assert abs(chi - 255) < 5 * (2 * 255) ** 0.5


def test_neighbouring_keys_and_indices_are_independent():
    n = 1 << 15
    key = seed_number(3, "y")
    draws = torch.stack([keyed_uniform(key + k, torch.arange(n), torch.float64) for k in range(4)])
    draws = torch.cat([draws, keyed_uniform(key, torch.arange(1, n + 1), torch.float64)[None]])
    away = np.corrcoef(draws.numpy()) - np.eye(5)
    assert np.abs(away).max() < 5 / n**0.5


def test_keys_and_indices_broadcast():
    keys, index = torch.tensor([[3], [9]]), torch.arange(5)
    both = keyed_bits(keys, index)
    assert both.shape == (2, 5)
    assert torch.equal(both[1], keyed_bits(9, index))


def test_uniform_numbers_lie_in_the_half_open_interval():
    u = keyed_uniform(5, torch.arange(100_000))
    assert u.dtype == torch.float32 and u.min() >= 0 and u.max() < 1
    assert abs(float(u.double().mean()) - 0.5) < 5 / (12 * 100_000) ** 0.5


def test_a_stream_depends_on_its_key_alone():
    assert generator(0, "a", 1).random(4).tolist() == generator(0, "a", 1).random(4).tolist()
    assert generator(0, "a", np.int64(1)).random() == generator(0, "a", 1).random()
    firsts = {generator(*key).random() for key in [(0, "a", 1), (0, "a", 2), (1, "a", 1), (0, "b", 1), (0, "a1")]}
    assert len(firsts) == 5
    assert generator("1").random() != generator(1).random()


def test_streams_have_the_recorded_values():
    """A change of these values changes the results of every run."""
    assert generator(0, "cohort", 1).integers(0, 1000, 6).tolist() == GOLDEN_INTEGERS
    assert seed_number(0, "first weights") == GOLDEN_SEED


def test_another_process_has_the_same_streams():
    printed = subprocess.run(
        [sys.executable, "-c", "from fedlit.randomness import seed_number; print(seed_number(0, 'first weights'))"],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(p for p in sys.path if p)},
    )
    assert int(printed.stdout) == GOLDEN_SEED


GOLDEN_INTEGERS = [523, 214, 831, 262, 676, 384]
GOLDEN_SEED = 3071391668354761422
