"""What it cost until a metric was at a target: rounds, bytes and seconds, counted from the rows of metrics.jsonl."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedlit.errors import InputError
from fedlit.evaluation.direction import Directions
from fedlit.evaluation.followed_metric import check_name, sign_of, warn_of_value
from fedlit.metric_names import BYTES_DOWN, BYTES_UP, COMM_BYTES, Row, is_time
from fedlit.tracking.metrics_file import plain

log = logging.getLogger(__name__)

Costs = dict[str, float | int]
"""`round`, `bytes` (down and up, or of all messages between parties) and `seconds` (all parts of the rounds), from
round 1 to the end of that round."""


class Targets:
    """The values of metrics whose costs a run counts.

    Args:
        values: metric -> a value, or several.
        directions: which direction of a metric is better.

    Raises:
        InputError: no metric has the name, neither direction of it is better, or a value is no number.
    """

    def __init__(self, values: Mapping[str, Any], directions: Directions):
        self.directions = directions
        self.values = {str(name): _numbers(name, value) for name, value in values.items()}
        for name in self.values:
            check_name("targets", name, directions)

    def warn_of_values(self) -> None:
        """Warn of targets that their metrics cannot have."""
        for name, values in self.values.items():
            for value in values:
                warn_of_value(f"targets={{{name}:{value:g}}}", name, value, self.directions)

    def with_target(self, metric: str, value: float) -> Targets:
        """These targets and one more."""
        values = [*self.values.get(metric, []), value]
        return Targets({**self.values, metric: list(dict.fromkeys(values))}, self.directions)

    def summary(self, rows: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
        """Metric -> for each value the `Costs` until it was reached, None where it was not, and the "value"."""
        return {name: self._of_metric(name, values, rows) for name, values in self.values.items()}

    def _of_metric(self, name: str, values: Sequence[float], rows: Sequence[Row]) -> list[dict[str, Any]]:
        sign = 0
        if any(name in row for row in rows):
            try:
                sign = sign_of("targets", name, self.directions)
            except InputError as error:
                log.warning("%s", error)
        elif rows:
            log.warning("targets: no round has measured %s, so it has reached no target.", name)
        entries: list[dict[str, Any]] = []
        for value in values:
            costs = costs_until(rows, name, value, sign) if sign else None
            missing = dict.fromkeys(("round", "bytes", "seconds"))
            entries.append({"value": value, **missing, **{cost: plain(v) for cost, v in (costs or {}).items()}})
        return entries


def costs_until(rows: Sequence[Row], metric: str, value: float, sign: int) -> Costs | None:
    """The costs until a metric was first at a value or better; None if it has not been. A cost that the run did not
    measure is absent.

    Args:
        rows: with their "round", from round 1 on.
        sign: 1 if more of the metric is better, -1 if less is.

    >>> rows = [{"round": n, "train/loss": 1 / n, "comm/bytes_up": 10, "time/fit": 0.5} for n in (1, 2, 3)]
    >>> costs_until(rows, "train/loss", 0.5, -1)
    {'round': 2, 'bytes': 20, 'seconds': 1.0}
    """
    hits = (place for place, row in enumerate(rows) if sign * row.get(metric, math.nan) >= sign * value)
    last = next(hits, None)
    if last is None:
        return None
    costs: Costs = {"round": int(rows[last]["round"])}
    for cost, names in (("bytes", _bytes(rows)), ("seconds", _seconds(rows))):
        if names:
            costs[cost] = _sum(rows[: last + 1], names)
    return costs


def _bytes(rows: Sequence[Row]) -> list[str]:
    return [name for name in (BYTES_DOWN, BYTES_UP, COMM_BYTES) if any(name in row for row in rows)]


def _seconds(rows: Sequence[Row]) -> list[str]:
    return [name for name in dict.fromkeys(name for row in rows for name in row) if is_time(name)]


def _sum(rows: Sequence[Row], names: Sequence[str]) -> float | int:
    values = (row.get(name, math.nan) for row in rows for name in names)
    return sum(value for value in values if not math.isnan(value))


def _numbers(name: str, value: Any) -> list[float]:
    values = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    for number in values:
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise InputError(
                f"targets: {number} is no target of {name}; write numbers, 'targets={{{name}:0.8}}' or "
                f"'targets={{{name}:[0.8,0.9]}}'."
            )
    return [float(number) for number in values]
