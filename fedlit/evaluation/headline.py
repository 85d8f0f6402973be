"""The metric of a row that is shown during a run, and the metric that chooses the best round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fedlit.evaluation.direction import KNOWN
from fedlit.metric_names import (
    PERSONAL,
    RECEIVED,
    TRAINED,
    USED,
    base_metric,
    client_group,
    client_metric,
    global_metric,
    is_global,
    is_of_parties,
    on_test,
    validation_metric,
)

_METRICS = ("accuracy", "loss")
_CLIENTS = [client_metric(model, metric, "weighted") for metric in _METRICS for model in (TRAINED, RECEIVED)]


def headline(row: Mapping[str, float]) -> str | None:
    """The metric to show: on test data if the row has one, accuracy before loss; None if it has neither.

    It is that of the models that clients use where the algorithm or fine-tuning gives them models of their own, else
    that of the global model. Of parties with columns it is the guest's first measure, whatever its name: a protocol
    names its headline first (`fedlit.vertical.protocol.Protocol.measures`).
    """
    if is_of_parties(row):
        return next((name for name in row if is_global(name) and _is_number(row[name])), None)
    names = (*_names([row], "test"), *_CLIENTS, *_names([row], "validation"))
    return next((name for name in names if _is_number(row.get(name))), None)


def choosing_metric(rows: Sequence[Mapping[str, float]], metrics: Sequence[str] = _METRICS) -> tuple[str, str] | None:
    """The metric that chooses the best round, and the data that it was measured on, "validation" or "test".

    Validation data if there is any, else test data. The value of a round that was chosen by its test data is biased
    upwards. The models are those of `headline`. None if the rows have none of the metrics.

    Args:
        rows: of a run.
        metrics: "accuracy", "loss", or both.
    """
    of_parties = next((row for row in rows if is_of_parties(row) and headline(row)), None)
    if of_parties is not None:
        name = str(headline(of_parties)) if len(metrics) > 1 else global_metric("test", metrics[0])
        measured = any(_is_number(row.get(name)) for row in rows)
        return (name, "test") if measured and KNOWN.of(name) != "neither" else None
    for split, others in (("validation", []), ("test", _CLIENTS)):
        for name in (*_names(rows, split), *others):
            if _base(name) in metrics and any(_is_number(row.get(name)) for row in rows):
                return name, split
    return None


def best_row(rows: Sequence[Mapping[str, float]], name: str) -> Mapping[str, float]:
    """The row in which `name`, whose better direction is known, is best, the first of equals. At least one row must
    have a finite value of it."""
    sign = -1 if str(base_metric(name)).endswith("loss") or KNOWN.of(name) == "lower" else 1
    return max((row for row in rows if _is_number(row.get(name))), key=lambda row: sign * row[name])


def _base(name: str) -> str:
    return str(base_metric(on_test(name)))


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _names(rows: Sequence[Mapping[str, float]], split: str) -> list[str]:
    """Accuracy, then loss: of the models that clients use, first where some are personal, and of the global model."""
    personal = f"{client_group(PERSONAL)}/"
    are_personal = any(name.startswith(personal) for row in rows for name in row)
    names: list[str] = []
    for metric in _METRICS:
        of_clients = validation_metric(metric) if split == "validation" else metric
        pair = [client_metric(USED, of_clients, "weighted"), global_metric(split, metric)]
        names += pair if are_personal else reversed(pair)
    return names
