"""Which number of a row stands for the run: it is shown while the run goes, and chooses the best round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fedlit.metric_names import client_metric, global_metric, lower_is_better

_VALIDATION = tuple(
    name
    for metric in ("accuracy", "loss")
    for name in (global_metric("validation", metric), client_metric("personal", f"validation_{metric}", "weighted"))
)
_TEST = (global_metric("test", "accuracy"), global_metric("test", "loss"))
_CLIENTS = tuple(  # where there is no global model: the clients' models, weighted by their numbers of test samples
    client_metric(model, metric, "weighted")
    for metric in ("accuracy", "loss")
    for model in ("personal", "trained", "received")
)


def headline(row: Mapping[str, float]) -> str | None:
    """The name of the number to show: on test data, accuracy before loss; None where the row has none."""
    return next((name for name in (*_TEST, *_CLIENTS, *_VALIDATION) if _is_number(row.get(name))), None)


def choosing_metric(rows: Sequence[Mapping[str, float]]) -> tuple[str, str] | None:
    """The name of the number that chooses the best round, and the data it was measured on: "validation" or "test".

    Validation data where there is any, else test data, which flatters: a best round chosen by test data is no fair
    result.
    """
    for names, chosen_by in ((_VALIDATION, "validation"), (_TEST, "test"), (_CLIENTS, "test")):
        for name in names:
            if any(_is_number(row.get(name)) for row in rows):
                return name, chosen_by
    return None


def best_row(rows: Sequence[Mapping[str, float]], name: str) -> Mapping[str, float]:
    """The row where `name` is best, the first of equals. At least one row has to have a finite number there."""
    sign = -1 if lower_is_better(name) else 1
    return max((row for row in rows if _is_number(row.get(name))), key=lambda row: sign * row[name])


def on_test(name: str) -> str:
    """The name of the same number on test data."""
    return name.replace("/validation/", "/test/").replace("/validation_", "/")


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
