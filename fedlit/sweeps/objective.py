"""objective=: the number of a run that a sweeper optimises."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from fedlit.errors import InputError
from fedlit.evaluation.direction import Directions
from fedlit.evaluation.headline import choosing_metric
from fedlit.metric_names import METRICS, Direction, Row, base_metric, on_test

_KINDS = ("accuracy", "loss")  # the metrics that choose a run's best round
_WORDS: dict[str, Direction] = {"maximize": "higher", "minimize": "lower"}


@dataclass(frozen=True)
class Objective:
    """What is optimised.

    Attributes:
        name: "accuracy" or "loss", measured on validation data if there is any, of the models that clients use if some
            are personal and else of the global model; or the name of a metric.
        better: its direction.
    """

    name: str
    better: Direction

    def value(self, rows: Sequence[Row]) -> float | None:
        """The value in the round of a run that is best by it; None if it was measured in no round."""
        metric = self.metric(rows)
        values = [row[metric] for row in rows if metric in row and math.isfinite(row[metric])]
        return None if not values else float(max(values) if self.better == "higher" else min(values))

    def metric(self, rows: Sequence[Row]) -> str:
        """The name of the metric in the rows of a run."""
        choice = choosing_metric(rows, [self.name]) if self.name in _KINDS else None
        return self.name if choice is None else choice[0]

    def is_of_test_data(self, rows: Sequence[Row]) -> bool:
        """Whether the metric is measured on test data, so that what is chosen by it looks better than it is."""
        metric = self.metric(rows)
        return base_metric(metric) is not None and on_test(metric) == metric


def objective(config: DictConfig, direction: Any) -> Objective:
    """The objective of a sweep.

    Args:
        config: the configuration of its runs.
        direction: of the sweeper, "maximize" or "minimize"; None if it has none: that of the metric.

    Raises:
        InputError: the direction is not that of the metric.
    """
    word = str(getattr(direction, "name", direction)).lower()
    if direction is not None and word not in _WORDS:
        raise InputError(
            f"hydra.sweeper.direction={direction}: a sweep of fedlit has one objective; write maximize or minimize."
        )
    name = str(config.get("objective", "accuracy"))
    evaluation = config.get("evaluation") or {}
    directions = Directions(evaluation.get("higher_is_better", ()), evaluation.get("lower_is_better", ()))
    declared = next((metric.better for metric in METRICS if metric.matches(name)), "neither")
    better = declared
    if name in _KINDS or declared == "by metric":
        better = directions.better(str(base_metric(name) or name).removeprefix("validation_"))
    known = next((word for word, meant in _WORDS.items() if meant == better), None)
    if direction is None:
        return Objective(name, "higher" if known is None else _WORDS[known])
    if known not in (None, word):
        raise InputError(
            f"hydra.sweeper.direction={word}: {better} is better of objective={name}; write "
            f"hydra.sweeper.direction={known}."
        )
    return Objective(name, _WORDS[word])
