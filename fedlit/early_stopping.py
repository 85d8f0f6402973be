"""`stop.metric`, `stop.patience`, `stop.target`: a run ends where a metric no longer improves, or is good enough."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

from fedlit.errors import InputError
from fedlit.evaluation.direction import Directions
from fedlit.evaluation.followed_metric import check_measured, check_name, sign_of, warn_of_value
from fedlit.evaluation.headline import choosing_metric
from fedlit.metric_names import Row
from fedlit.plurals import counted
from fedlit.stop import Stop, Stoppable
from fedlit.tracking.targets import Targets

_OPTION = "stop.metric"


class Followed(Stoppable, Protocol):
    """A state that early stopping follows; it keeps what it needs in `stopping`."""

    round: int
    stopping: dict[str, Any]


@dataclass(frozen=True)
class EarlyStopping:
    """The rule, which is asked after each round. What it keeps is `state.stopping`, a part of the checkpoint.

    Args:
        metric: the name of a metric; None: the one that chooses the best round.
        patience: the run stops after this number of measurements in a row without a better value; None: never. A value
            that is not a number is not better.
        target: the run stops where the metric is at this value or better; None: never.
    """

    metric: str | None = None
    patience: int | None = None
    target: float | None = None

    def check_options(self, directions: Directions) -> None:
        """
        Raises:
            InputError: a run cannot follow them.
        """
        if self.metric is not None:
            check_name(_OPTION, self.metric, directions)
        if self.metric is not None and not self._is_on:
            raise InputError(
                f"{_OPTION}={self.metric}: nothing stops the run by this metric; write stop.patience=<measurements> or "
                "stop.target=<value>, too."
            )
        if self.target is not None and not math.isfinite(self.target):
            raise InputError(f"stop.target={self.target}: this has to be a number; write for example stop.target=0.9.")

    def warn_of_target(self, directions: Directions, metric: str | None = None) -> None:
        """Warn of a target that the metric cannot have.

        Args:
            metric: the one that is followed; None: the one that the options name.
        """
        name = metric or self.metric
        if self.target is not None and name is not None:
            warn_of_value(f"stop.target={self.target:g}", name, self.target, directions)

    def check(self, state: Followed, row: Row, directions: Directions) -> None:
        """Note the row of the state's round.

        Args:
            directions: which direction of a metric is better, also of those that a measurement has declared.

        Raises:
            Stop: the run ends with this round.
            InputError: the round was evaluated and has no such metric, or its better direction is not known.
        """
        if not self._is_on:
            return
        kept = state.stopping
        if not kept:
            name = self.metric or next(iter(choosing_metric([row]) or ()), None)
            if not check_measured(_OPTION, name, row, state.round):
                return
            if self.metric is None:  # known now
                self.warn_of_target(directions, name)
            kept |= {"metric": name, "best": math.nan, "round": 0, "without": 0}
        name, best = kept["metric"], kept["best"]
        if name not in row:
            return
        value, sign = float(row[name]), sign_of(_OPTION, name, directions)
        if sign * value > sign * best or (math.isnan(best) and not math.isnan(value)):
            kept |= {"best": value, "round": state.round, "without": 0}
        else:
            kept["without"] += 1
        if self.target is not None and sign * value >= sign * self.target:
            raise Stop(f"{name} is {value:.6g}, and the target was {self.target:g}")
        if self.patience is not None and kept["without"] >= self.patience:
            than = f"better than in round {kept['round']}, {kept['best']:.6g}," if kept["round"] else "a number"
            raise Stop(f"{name} was not {than} in {counted(self.patience, 'measurement')}")

    def with_target(self, targets: Targets, state: Followed) -> Targets:
        """The run's targets and that of this rule, once its metric is known."""
        metric = state.stopping.get("metric")
        return targets if self.target is None or metric is None else targets.with_target(metric, self.target)

    @property
    def _is_on(self) -> bool:
        return self.patience is not None or self.target is not None


NEVER = EarlyStopping()
"""The rule of a run without these options."""


def go_on(state: Followed, options_changed: bool, rounds_changed: bool) -> None:
    """What a resumed run does with what its checkpoint says of stopping.

    A run that had stopped goes on if `stop` or `rounds` were changed, and stays as it is if not. Patience is counted
    from the beginning where `stop` was changed, or a run that had stopped goes on.
    """
    if options_changed or (state.stopped is not None and rounds_changed):
        state.stopped, state.stopping = None, {}
