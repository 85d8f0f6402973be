"""Statistics over clients of one value per client."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlit.evaluation.measure import Totals
from fedlit.metric_names import lower_is_better


def pooled(totals: Sequence[Totals]) -> dict[str, float]:
    """metric -> the mean over all samples of all parts: sum of the totals / sum of the weights."""
    sums: dict[str, list[float]] = {}
    for part in totals:
        for name, (total, weight) in part.items():
            pair = sums.setdefault(name, [0.0, 0.0])
            pair[0] += total
            pair[1] += weight
    return {name: total / weight for name, (total, weight) in sums.items() if weight}


def spread(totals: Sequence[Totals]) -> dict[str, dict[str, float]]:
    """metric -> statistic -> value, the statistics of `metric_names.STATISTICS` over the clients' values v_k.

    `mean` is sum_k v_k / K, `weighted` is sum_k n_k v_k / sum_k n_k with n_k samples of client k, `std` the population
    standard deviation, `worst` the largest v_k if lower is better, else the smallest, and `worst_decile` the mean of
    the worst K // 10 values, at least of one.
    """
    statistics = {}
    for name, weighted in pooled(totals).items():
        values = np.sort([client[name][0] / client[name][1] for client in totals if name in client and client[name][1]])
        worst_first = values[::-1] if lower_is_better(name) else values
        tenth = max(1, len(values) // 10)
        statistics[name] = {
            "weighted": weighted,
            "mean": float(values.mean()),
            "std": float(values.std()),
            "worst": float(worst_first[0]),
            "worst_decile": float(worst_first[:tenth].mean()),
        }
    return statistics
