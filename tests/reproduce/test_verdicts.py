"""Reproduced or not, by numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from fedlit.reproduce.published import Published
from fedlit.reproduce.verdict import default_tolerance, verdict


def published(tolerance: float | None = 0.1, seeds: int = 2, std: float | None = None) -> Published:
    return Published("global/test/accuracy", 0.8, "S", std, seeds, tolerance)


def test_the_default_tolerance_is_that_by_hand() -> None:
    """Student's quantile for p = 0.975: tan(pi (p - 1/2)) with one degree of freedom, and with two of them
    (2 p - 1) sqrt(2 / (1 - (2 p - 1)^2)), 4.3027."""
    assert default_tolerance(0.5, 2, 2) == pytest.approx(math.tan(math.pi * 0.475) * 0.5 * 1)
    quantile = 0.95 * math.sqrt(2 / (1 - 0.95**2))
    assert default_tolerance(0.1, 3, 6) == pytest.approx(quantile * 0.1 * math.sqrt(1 / 2))


@pytest.mark.parametrize(("mean", "reproduced"), [(0.9, True), (0.7, True), (0.9001, False), (0.6999, False)])
def test_a_mean_at_the_tolerance_is_reproduced(mean: float, reproduced: bool) -> None:
    shown = verdict(published(), {0: mean - 0.05, 1: mean + 0.05})
    assert shown.reproduced is reproduced
    assert (shown.mean, shown.difference) == (pytest.approx(mean), pytest.approx(mean - 0.8))
    assert shown.std == pytest.approx(0.05 * math.sqrt(2)) and shown.seeds == 2


def test_a_tolerance_of_the_yaml_comes_before_the_default() -> None:
    assert verdict(published(None, 2, 0.01), {0: 0.8, 1: 0.8}).tolerance == pytest.approx(0.1271, abs=1e-4)
    assert verdict(published(0.003, 2, 0.01), {0: 0.8, 1: 0.8}).tolerance == 0.003


@pytest.mark.parametrize("values", [{}, {0: 0.8}, {0: 0.8, 1: math.nan}, {0: 0.8, 1: math.inf}])
def test_missing_and_infinite_values_are_no_reproduction(values: dict[int, float]) -> None:
    assert verdict(published(), values).reproduced is None
