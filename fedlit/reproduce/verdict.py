"""Whether a published value is reproduced: |mean - value| <= tolerance.

Where the YAML has no tolerance, it follows from the source's standard deviation s over n seeds and from the m seeds of
fedlit's mean:

    tolerance = t(0.975, n - 1) * s * sqrt(1 / n + 1 / m)

This is half of the 95% prediction interval of the mean of m further runs; t is the quantile of Student's distribution.
If the runs of fedlit and of the source have one normal distribution, 95 of 100 values are reproduced. fedlit's own
standard deviation is not in it: a run whose results vary much must not widen its own tolerance. Few seeds give a wide
one: 1.8 s for n = m = 5, and 3.5 s for three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from fedlit.reproduce.published import Published


@dataclass(frozen=True)
class Verdict:
    """A published value beside fedlit's runs.

    Attributes:
        mean, std: over fedlit's seeds; NaN without a value, or without two.
        seeds: number of fedlit's values.
        difference: mean - value.
        tolerance: largest difference of a reproduced value.
        reproduced: None where a run is missing, or its value is not finite: there is nothing to compare.
    """

    mean: float
    std: float
    seeds: int
    difference: float
    tolerance: float
    reproduced: bool | None


def verdict(published: Published, values: Mapping[int, float]) -> Verdict:
    """
    Args:
        published: the value.
        values: seed -> what the run of fedlit has reached; without seeds whose run failed.
    """
    numbers = list(values.values())
    complete = len(numbers) == published.seeds and all(map(math.isfinite, numbers))
    mean = fmean(numbers) if numbers else math.nan
    std = stdev(numbers) if len(numbers) > 1 and all(map(math.isfinite, numbers)) else math.nan
    tolerance = published.tolerance
    if tolerance is None:
        assert published.std is not None  # the YAML was checked
        tolerance = default_tolerance(published.std, published.seeds, published.seeds)
    difference = mean - published.value
    rounding = 1e-9 * max(abs(published.value), tolerance)  # 0.9 - 0.8 is 0.09999999999999998
    reproduced = abs(difference) <= tolerance + rounding if complete else None
    return Verdict(mean, std, len(numbers), difference, tolerance, reproduced)


def default_tolerance(std: float, seeds: int, runs: int) -> float:
    """The tolerance of the formula above.

    Args:
        std: s, of the source.
        seeds: n, of the source.
        runs: m, of fedlit.

    >>> round(default_tolerance(0.024, 5, 5), 4)
    0.0421
    """
    from scipy.stats import t  # takes half a second

    return float(t.ppf(0.975, seeds - 1)) * std * math.sqrt(1 / seeds + 1 / runs)
