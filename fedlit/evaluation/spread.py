"""One number a client, said in five over all clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedlit.evaluation.measure import Totals

Higher = Mapping[str, bool]


def pooled(totals: Sequence[Totals]) -> dict[str, float]:
    """The mean over all samples of all parts: sums are added before anything is divided."""
    sums: dict[str, list[float]] = {}
    for one in totals:
        for name, (total, weight) in one.items():
            both = sums.setdefault(name, [0.0, 0.0])
            both[0] += total
            both[1] += weight
    return {name: total / weight for name, (total, weight) in sums.items() if weight}


def spread(totals: Sequence[Totals]) -> dict[str, float]:
    """`<metric>/mean` (each client counts once), `weighted` (by its samples), `std`, `worst`, `worst_decile`.

    The worst client has the largest value of a metric whose name ends in loss or error, the smallest of any other.
    `worst_decile` is the mean of the worst tenth of the clients, at least of one.
    """
    row = {f"{name}/weighted": value for name, value in pooled(totals).items()}
    for name in {n for one in totals for n in one}:
        values = np.sort([one[name][0] / one[name][1] for one in totals if name in one and one[name][1]])
        if not len(values):
            continue
        worst_first = values[::-1] if name.endswith(("loss", "error")) else values
        tenth = max(1, len(values) // 10)
        row |= {
            f"{name}/mean": float(values.mean()),
            f"{name}/std": float(values.std()),
            f"{name}/worst": float(worst_first[0]),
            f"{name}/worst_decile": float(worst_first[:tenth].mean()),
        }
    return row
