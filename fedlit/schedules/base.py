"""The contract of a schedule: the factor of a learning rate in each round."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from math import isfinite
from typing import Any

from fedlit.errors import InputError
from fedlit.plurals import counted

log = logging.getLogger(__name__)


class RoundSchedule(ABC):
    """The factor f(t) of a learning rate in round t of T. Attributes of `self` are hyperparameters only.

    With W rounds of warm-up, f(t) = t / (W + 1) in rounds 1 to W, and f(t) = decay(t - 1 - W, T - W) after them.

    >>> class Inverse(RoundSchedule):  # in mine.py, chosen by lr_schedule._target_=mine.Inverse
    ...     def decay(self, done, rounds):
    ...         return 1 / (1 + done)
    >>> [Inverse(warmup=1)(round, 4) for round in (1, 2, 3)]
    [0.5, 1.0, 0.5]
    """

    def __init__(self, warmup: int = 0):
        """
        Args:
            warmup: W, first rounds in which the factor rises to 1.
        """
        self.warmup = warmup

    @property
    def changes(self) -> bool:
        """Whether the factor may differ from 1."""
        return True

    @abstractmethod
    def decay(self, done: int, rounds: int) -> float:
        """The factor after the warm-up.

        Args:
            done: rounds after the warm-up and before this one, from 0.
            rounds: all rounds after the warm-up.
        """

    def __call__(self, round_number: int, rounds: int) -> float:
        """f(t).

        Args:
            round_number: t, from 1.
            rounds: T, of the run.
        """
        if round_number <= self.warmup:
            return round_number / (self.warmup + 1)
        return self.decay(round_number - 1 - self.warmup, max(rounds - self.warmup, 1))


def checked_factor(schedule: RoundSchedule, round_number: int, rounds: int) -> float:
    """The factor of a round.

    Raises:
        InputError: it is no finite number above 0.
    """
    factor: Any = schedule(round_number, rounds)
    try:
        number = float(factor)
    except (TypeError, ValueError):
        number = -1.0
    if not isfinite(number) or number <= 0:
        raise InputError(
            f"{type(schedule).__name__} returns {factor!r} in round {round_number} of {rounds}; return a number above "
            "0, the factor of the learning rate."
        )
    return number


def check_schedule(schedule: RoundSchedule, rounds: int, rounds_before: int | None) -> None:
    """Check the factors of all rounds before the first. Warn where a resumed run of another number of rounds has other
    factors.

    Args:
        rounds: of the run.
        rounds_before: of the run that is resumed, at its newest checkpoint; None: there is none.

    Raises:
        InputError: as in `checked_factor`.
    """
    if not schedule.changes:
        return
    factors = [checked_factor(schedule, number, rounds) for number in range(1, rounds + 1)]
    if rounds_before is None or rounds_before == rounds:
        return
    if factors[:rounds_before] != [schedule(number, rounds_before) for number in range(1, rounds_before + 1)][:rounds]:
        log.warning(
            "rounds=%d stretches the schedule %s, whose first rounds had the factors of a run of %s",
            rounds,
            type(schedule).__name__,
            counted(rounds_before, "round"),
        )
