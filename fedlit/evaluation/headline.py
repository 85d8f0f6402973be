"""Which of a round's many numbers stands for the run: shown while it goes, and used to choose its best round."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

_VALIDATION = (
    "global/validation/accuracy",
    "clients/personal/validation_accuracy/weighted",
    "global/validation/loss",
    "clients/personal/validation_loss/weighted",
)
_TEST = ("global/test/accuracy", "global/test/loss")
_CLIENTS = tuple(  # where there is no global model: the clients' own, weighted by their numbers of test samples
    f"clients/{model}/{metric}/weighted"
    for metric in ("accuracy", "loss")
    for model in ("personal", "trained", "received")
)


def headline(row: Mapping[str, float]) -> str | None:
    """The name of the number to show of a round: on test data, accuracy before loss; None where there is none."""
    return next((name for name in (*_TEST, *_CLIENTS, *_VALIDATION) if _is_number(row.get(name))), None)


def choosing(rows: Sequence[Mapping[str, float]]) -> tuple[str, str] | None:
    """The name of the number that chooses the best round, and the data it was measured on: "validation" or "test".

    Validation where it was measured, else test, which flatters: a best round chosen by test is no fair result.
    """
    for names, chosen_by in ((_VALIDATION, "validation"), (_TEST, "test"), (_CLIENTS, "test")):
        for name in names:
            if any(_is_number(row.get(name)) for row in rows):
                return name, chosen_by
    return None


def best_row(rows: Sequence[Mapping[str, float]], name: str) -> Mapping[str, float]:
    """The row where `name` is best (accuracy high, loss low), the first of equals; one row at least has the number."""
    sign = -1 if "loss" in re.split("[/_]", name) else 1
    return max((row for row in rows if _is_number(row.get(name))), key=lambda row: sign * row[name])


def on_test(name: str) -> str:
    """The name of the same number on test data."""
    return name.replace("/validation/", "/test/").replace("/validation_", "/")


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
