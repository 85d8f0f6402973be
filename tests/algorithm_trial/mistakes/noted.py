"""A class decorator that notes the trial's sentence of a mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fedlit.aggregators import Aggregator

Mistaken = TypeVar("Mistaken", bound=type[Aggregator])

MISTAKES: dict[type[Aggregator], str] = {}  # class -> a pattern that its sentence matches
STACKED_ONLY: set[type[Aggregator]] = set()  # right where each chunk has one client


def mistake(pattern: str, stacked_only: bool = False) -> Callable[[Mistaken], Mistaken]:
    def noted(algorithm: Mistaken) -> Mistaken:
        MISTAKES[algorithm] = pattern
        if stacked_only:
            STACKED_ONLY.add(algorithm)
        return algorithm

    return noted
