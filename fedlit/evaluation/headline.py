"""The metric of a row that is shown during a run, and the metric that chooses the best round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fedlit.metric_names import base_metric, client_metric, global_metric, validation_metric

_VALIDATION = tuple(
    name
    for metric in ("accuracy", "loss")
    for name in (global_metric("validation", metric), client_metric("personal", validation_metric(metric), "weighted"))
)
_TEST = (global_metric("test", "accuracy"), global_metric("test", "loss"))
_CLIENTS = tuple(  # without a global model: the clients' models, weighted by their numbers of test samples
    client_metric(model, metric, "weighted")
    for metric in ("accuracy", "loss")
    for model in ("personal", "trained", "received")
)


def headline(row: Mapping[str, float]) -> str | None:
    """The metric to show: on test data if the row has one, accuracy before loss; None if it has neither."""
    return next((name for name in (*_TEST, *_CLIENTS, *_VALIDATION) if _is_number(row.get(name))), None)


def choosing_metric(rows: Sequence[Mapping[str, float]]) -> tuple[str, str] | None:
    """The metric that chooses the best round, and the data that it was measured on, "validation" or "test".

    Validation data if there is any, else test data. The value of a round that was chosen by its test data is biased
    upwards. None if the rows have no accuracy and no loss.
    """
    for names, chosen_by in ((_VALIDATION, "validation"), (_TEST, "test"), (_CLIENTS, "test")):
        for name in names:
            if any(_is_number(row.get(name)) for row in rows):
                return name, chosen_by
    return None


def best_row(rows: Sequence[Mapping[str, float]], name: str) -> Mapping[str, float]:
    """The row in which `name`, an accuracy or a loss, is best, the first of equals. At least one row must have a finite
    value of it."""
    sign = -1 if str(base_metric(name)).endswith("loss") else 1
    return max((row for row in rows if _is_number(row.get(name))), key=lambda row: sign * row[name])


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
