"""Statistics over clients of one value per client."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fedlit.evaluation.direction import KNOWN
from fedlit.evaluation.tally import Totals
from fedlit.metric_names import Direction


def pooled(totals: Sequence[Totals]) -> dict[str, float]:
    """metric -> the mean over all samples of all parts: sum of the totals / sum of the weights."""
    sums: dict[str, list[float]] = {}
    for part in totals:
        for name, (total, weight) in part.items():
            pair = sums.setdefault(name, [0.0, 0.0])
            pair[0] += total
            pair[1] += weight
    return {name: total / weight for name, (total, weight) in sums.items() if weight}


def spread(totals: Sequence[Totals], better: Callable[[str], Direction] = KNOWN.better) -> dict[str, dict[str, float]]:
    """metric -> statistic -> value, the statistics of `metric_names.STATISTICS` over the clients' values v_k.

    `mean` is sum_k v_k / K, `weighted` is sum_k n_k v_k / sum_k n_k with n_k samples of client k, `std` is
    sqrt(sum_k (v_k - mean)^2 / K), `worst` the largest v_k if lower is better, the smallest if higher is, and
    `worst_decile` the mean of the worst K // 10 values, at least of one. A NaN is worse than any number. If the
    direction of the metric is not known, `min` and `max` take the place of the last two.

    Args:
        better: gives the direction of a metric.
    """
    statistics = {}
    for name, weighted in pooled(totals).items():
        values = np.sort([client[name][0] / client[name][1] for client in totals if name in client and client[name][1]])
        with np.errstate(invalid="ignore"):  # infinite values have no standard deviation
            statistics[name] = {"weighted": weighted, "mean": float(values.mean()), "std": float(values.std())}
        statistics[name] |= _ends(values, better(name))
    return statistics


def _ends(values: np.ndarray, better: Direction) -> dict[str, float]:
    """
    Args:
        values: (K,) sorted, NaN last.
    """
    if better == "neither":
        return {"min": float(values.min()), "max": float(values.max())}
    is_nan = np.isnan(values)
    numbers = values[~is_nan]
    worst_first = np.concatenate([values[is_nan], numbers[::-1] if better == "lower" else numbers])
    tenth = max(1, len(values) // 10)
    return {"worst": float(worst_first[0]), "worst_decile": float(worst_first[:tenth].mean())}
