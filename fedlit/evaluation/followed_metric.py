"""A metric that an option names, such as `stop.metric=global/test/accuracy`: refused where a run cannot follow it."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable

from fedlit.errors import InputError
from fedlit.evaluation.direction import Directions
from fedlit.metric_names import (
    COHORT_ARRIVED,
    METRICS,
    USED,
    Row,
    base_metric,
    client_metric,
    global_metric,
    is_of_parties,
    is_of_training,
    on_test,
)

log = logging.getLogger(__name__)


def check_name(option: str, name: str, directions: Directions) -> None:
    """
    Args:
        option: the key that names the metric, for the message.

    Raises:
        InputError: no metric has the name, or it is declared to be better in neither direction. A metric that the
            module logs may declare its direction later.
    """
    declared = [metric for metric in METRICS if metric.matches(name)]
    if not declared:
        meant = difflib.get_close_matches(name, [metric.name for metric in METRICS if "<" not in metric.name], 1)
        meant = meant or [global_metric("test", name), client_metric(USED, name, "weighted")]
        raise InputError(f"{option}={name}: no metric has this name; name one, such as {' or '.join(meant)}.")
    if directions.of(name) == "neither" and all(metric.better != "by metric" for metric in declared):
        raise InputError(
            f"{option}={name}: neither more nor less of it is better; name a metric of the models, such as "
            f"{global_metric('test', 'accuracy')}."
        )


def sign_of(option: str, name: str, directions: Directions) -> int:
    """1 if more of a metric that was measured is better, -1 if less is.

    Raises:
        InputError: it is not known.
    """
    better = directions.of(name)
    if better == "neither":
        metric = base_metric(name) or name.rpartition("/")[2]
        raise InputError(
            f"{option}={name}: it is not known whether more or less of it is better; write "
            f"evaluation.higher_is_better=[{metric}] or evaluation.lower_is_better=[{metric}]."
        )
    return 1 if better == "higher" else -1


def warn_of_value(option: str, name: str, value: float, directions: Directions) -> None:
    """Warn of a value that the metric cannot have, such as an accuracy of 90.

    Args:
        option: the words that set the value.
    """
    least, largest = directions.limits.get(str(base_metric(on_test(name))), (None, None))
    if largest is not None and value > largest:
        per_cent = f"; write {value / 100:g} for {value:g} per cent" if largest == 1 and value <= 100 else ""
        log.warning("%s: %s is at most %g%s.", option, name, largest, per_cent)
    elif least is not None and value < least:
        log.warning("%s: %s is at least %g.", option, name, least)


def check_measured(option: str, name: str | None, row: Row, round_number: int) -> bool:
    """Whether a row has the metric. False in a round that was not evaluated, or to which no client has returned.

    Args:
        name: None: no metric is named, and the row has none that could be taken in its place.

    Raises:
        InputError: the round was evaluated, and has no such metric.
    """
    if name in row:
        return True
    if not (row.get(COHORT_ARRIVED) or is_of_parties(row)) or not any(map(base_metric, row)):
        return False
    candidates = [name for name in row if "/" in name and (base_metric(name) or is_of_training(name))]
    if name is None:
        raise InputError(
            f"{option}=null: round {round_number} has measured no number that is an accuracy or a loss; name a metric, "
            f"such as {option}={candidates[0]}."
        )
    raise InputError(
        f"{option}={name}: round {round_number} has no such metric; write for example "
        f"{option}={_nearest(name, candidates)}."
    )


def _nearest(name: str, candidates: Iterable[str]) -> str:
    names = list(candidates)
    return (difflib.get_close_matches(name, names, 1) or names)[0]
