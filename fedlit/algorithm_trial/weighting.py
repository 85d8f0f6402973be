"""The keys of an algorithm's `weighting`, against the messages of the trial."""

from __future__ import annotations

import inspect
from types import CodeType
from typing import Any

from fedlit.aggregators import Aggregator
from fedlit.errors import InputError
from fedlit.settings.closest import closest


def check_keys(aggregator: Aggregator, sent: set[str]) -> None:
    """A key that has an effect is sent. One that stands in a method may be sent in a later round.

    Args:
        sent: the keys of the messages in the trial, also those within dicts, such as "parts.w".
    """
    if aggregator.needs_all:
        return
    for key, value in aggregator.weighting.items():
        if value != "examples" and key not in sent and key not in _texts(type(aggregator)):
            near = closest(key, sorted(sent))
            hint = f"did you mean {near!r}?" if near else f"it sends {', '.join(sorted(sent)) or 'nothing'}."
            raise InputError(
                f"{type(aggregator).__name__}.weighting[{key!r}] has no effect, because no message has this key; {hint}"
            )


def _texts(owner: type) -> set[Any]:
    """The texts within the methods that make messages."""
    functions = [
        inspect.unwrap(member)
        for cls in owner.__mro__
        if cls not in (object, Aggregator)
        for name, member in vars(cls).items()
        if inspect.isfunction(member) and name not in ("__init__", "server_state", "server_update")
    ]
    texts: set[Any] = set()
    waiting = [function.__code__ for function in functions]
    while waiting:
        for constant in waiting.pop().co_consts:
            if isinstance(constant, CodeType):
                waiting.append(constant)
            elif isinstance(constant, tuple | frozenset):
                texts |= {inner for inner in constant if isinstance(inner, str)}
            elif isinstance(constant, str):
                texts.add(constant)
    return texts
