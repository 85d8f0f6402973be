"""Cases of one kind of which the default suite runs some, and `make test-slow` the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some_slow(cases: Iterable[Any], quick: Iterable[Any]) -> list[Any]:
    """The cases for `pytest.mark.parametrize`; those that are not quick are marked as slow. A case of several arguments
    is a tuple."""
    every, chosen = list(cases), list(quick)
    unknown = [case for case in chosen if case not in every]
    assert not unknown, f"quick cases that are no cases: {unknown}"
    return [
        case
        if case in chosen
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for case in every
    ]
