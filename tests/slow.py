"""Cases of one kind of which the default suite runs some, and `make test-slow` the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some_slow(cases: Iterable[Any], quick: Iterable[Any]) -> list[Any]:
    """The cases for `pytest.mark.parametrize`; those that are not quick are marked as slow. A case of several arguments
    is a tuple."""
    chosen = list(quick)
    return [
        case
        if case in chosen
        else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
        for case in cases
    ]
