"""One number a client, summarised over clients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlit.evaluation.measure import Totals
from fedlit.metric_names import lower_is_better


def pooled(totals: Sequence[Totals]) -> dict[str, float]:
    """The mean over all samples of all parts: sums are added before the division."""
    sums: dict[str, list[float]] = {}
    for part in totals:
        for name, (total, weight) in part.items():
            pair = sums.setdefault(name, [0.0, 0.0])
            pair[0] += total
            pair[1] += weight
    return {name: total / weight for name, (total, weight) in sums.items() if weight}


def spread(totals: Sequence[Totals]) -> dict[str, float]:
    """`<metric>/mean` (each client counts once), `weighted` (by its samples), `std`, `worst`, `worst_decile`.

    The worst client has the largest value where lower is better, else the smallest. `worst_decile` is the mean of the
    worst tenth of the clients, at least of one.
    """
    row = {f"{name}/weighted": value for name, value in pooled(totals).items()}
    for name in {metric for client in totals for metric in client}:
        values = np.sort([client[name][0] / client[name][1] for client in totals if name in client and client[name][1]])
        if not len(values):
            continue
        worst_first = values[::-1] if lower_is_better(name) else values
        tenth = max(1, len(values) // 10)
        row |= {
            f"{name}/mean": float(values.mean()),
            f"{name}/std": float(values.std()),
            f"{name}/worst": float(worst_first[0]),
            f"{name}/worst_decile": float(worst_first[:tenth].mean()),
        }
    return row
