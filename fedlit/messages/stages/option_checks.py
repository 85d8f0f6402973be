"""Refusals of options, for stages that are made without the checks of conf/uplink/."""

from __future__ import annotations

import math
from typing import Any

from fedlit.errors import InputError


def check_number(
    stage: object,
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    low_open: bool = False,
    whole_number: bool = False,
) -> None:
    """
    Args:
        stage: the stage, or what has the option.
        low_open: `low` itself is refused.

    Raises:
        InputError: the value is no finite number between `low` and `high`.
    """
    is_number = isinstance(value, int if whole_number else (int, float)) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and low <= value <= high and not (low_open and value == low):
        return
    bounds = [f"{'above' if low_open else 'of at least'} {low:g}"] if low > -math.inf else []
    bounds += [f"at most {high:g}"] if high < math.inf else []
    kind = "an integer" if whole_number else "a number"
    raise InputError(f"{type(stage).__name__}: {name}={value}; write {kind} {' and '.join(bounds)}.")
