"""What an algorithm keeps outside of its states: attributes of itself and its classes, globals that its methods name.

A resumed run does not have such values, and worker processes do not share them. A cache is allowed: it holds the same
after the same call.
"""

from __future__ import annotations

import inspect
import sys
from collections import deque
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import numpy as np
from torch import Tensor

from fedlit.aggregators import Aggregator
from fedlit.algorithm_trial.trees import cloned
from fedlit.user_module.module_snapshot import differ

_DATA = (dict, list, set, deque, int, float, str, tuple, Tensor, np.ndarray, type(None))
_LARGEST = 1_000_000  # elements of a global tensor that is compared


class KeptAttributes:
    """A picture of these values. It is compared after each call of a method."""

    def __init__(self, aggregator: Aggregator):
        self.aggregator = aggregator
        self.owners = [*_classes(aggregator)]
        self._picture = self._take()

    def changed(self) -> list[str]:
        """The names of the values that changed since the last call, such as `self.seen`."""
        current = self._read()
        names = [n for n in {**self._picture, **current} if self._differs(n, current)]
        for name in names:
            self._picture.pop(name, None)
            if name in current:
                self._picture[name] = cloned(current[name])
        return names

    def _differs(self, name: str, current: dict[str, Any]) -> bool:
        if name not in current or name not in self._picture:
            return True
        now = current[name]
        return differ(self._picture[name], now) and not differ(now, now)  # a tensor with NaN differs from itself

    def _take(self) -> dict[str, Any]:
        return {name: cloned(value) for name, value in self._read().items()}

    def _read(self) -> dict[str, Any]:
        values = {f"self.{name}": value for name, value in vars(self.aggregator).items()}
        for owner in self.owners:
            values |= {f"{owner.__name__}.{name}": v for name, v in vars(owner).items() if _is_data(name, v)}
            values |= {f"the global {name}": value for name, value in _named_globals(owner)}
        return values


class SharedValues:
    """Class attributes and globals, which copies of an algorithm share with it; put back after the trial."""

    def __init__(self, aggregator: Aggregator):
        self._saved: list[tuple[Any, str, Any, Any]] = []
        self._caches: list[Callable[[], None]] = []
        for owner in _classes(aggregator):
            module = sys.modules.get(owner.__module__)
            class_values = [(owner, n, v) for n, v in vars(owner).items() if _is_data(n, v)]
            global_values = [(module, n, v) for n, v in _named_globals(owner)]
            self._saved += [(holder, n, v, cloned(v)) for holder, n, v in class_values + global_values]
            functions = [*vars(owner).values(), *(_globals(owner)[n] for n in _names(owner) if n in _globals(owner))]
            self._caches += [f.cache_clear for f in functions if hasattr(f, "cache_clear")]

    def restore(self) -> None:
        for holder, name, value, saved in self._saved:
            if isinstance(value, dict | set):
                if differ(value, saved):
                    value.clear()
                    value.update(saved)
            elif isinstance(value, list | deque):
                if differ(value, saved):
                    value.clear()
                    value.extend(saved)
            elif isinstance(value, Tensor):
                value.data.copy_(saved)
            if getattr(holder, name, None) is not value:
                setattr(holder, name, value)
        for clear in self._caches:
            clear()


def _classes(aggregator: Aggregator) -> Iterator[type]:
    """The algorithm's classes that are not fedlit's."""
    for owner in type(aggregator).__mro__:
        if owner not in (object, Aggregator) and not owner.__module__.startswith("fedlit."):
            yield owner


def _is_data(name: str, value: Any) -> bool:
    if name.startswith("__") or name == "_abc_impl" or not isinstance(value, _DATA):
        return False
    size = value.numel() if isinstance(value, Tensor) else value.size if isinstance(value, np.ndarray) else 0
    return size <= _LARGEST


def _globals(owner: type) -> dict[str, Any]:
    return vars(sys.modules[owner.__module__]) if owner.__module__ in sys.modules else {}


def _named_globals(owner: type) -> Iterator[tuple[str, Any]]:
    values = _globals(owner)
    yield from ((n, values[n]) for n in sorted(_names(owner)) if n in values and _is_data(n, values[n]))


def _names(owner: type) -> set[str]:
    """The global names that the methods of a class read, with those of functions of the same file that they call."""
    names: set[str] = set()
    functions = [inspect.unwrap(f) for f in map(_function, vars(owner).values()) if f is not None]
    waiting = [f.__code__ for f in functions if hasattr(f, "__code__")]
    while waiting:
        code = waiting.pop()
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        for name in set(code.co_names) - names:
            names.add(name)
            called = _globals(owner).get(name)
            if inspect.isfunction(called) and called.__module__ == owner.__module__:
                waiting.append(called.__code__)
    return names


def _function(member: Any) -> Any:
    if isinstance(member, staticmethod | classmethod):
        return member.__func__
    if isinstance(member, property):
        return member.fget
    return member if inspect.isfunction(member) else None
