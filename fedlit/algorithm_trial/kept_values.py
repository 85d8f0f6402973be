"""What an algorithm keeps outside of its states: attributes of itself and its classes, globals that its methods name.

A resumed run does not have such values, and worker processes do not share them. A cache is allowed: it holds the same
after the same call.
"""

from __future__ import annotations

import inspect
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

import numpy as np
from torch import Tensor

from fedlit.aggregators import Aggregator
from fedlit.algorithm_trial.trees import Picture, cloned
from fedlit.user_module.module_snapshot import differ

_DATA = (dict, list, set, deque, int, float, str, tuple, Tensor, np.ndarray, type(None))
_LARGEST = 1_000_000  # elements of a class attribute or a global that is compared


class KeptValues:
    """A picture of these values. It is compared after each call of a method."""

    def __init__(self, aggregator: Aggregator):
        self.aggregator = aggregator
        self._pictures = {name: Picture(value) for name, value in self._current().items()}

    def changed(self) -> list[str]:
        """The names of the values that changed since the last call, such as `self.seen`."""
        current = self._current()
        missing = self._pictures.keys() - current.keys()
        names = [n for n, v in current.items() if n not in self._pictures or self._pictures[n].differs_from(v)]
        for name in names:
            self._pictures[name] = Picture(current[name])
        for name in missing:
            del self._pictures[name]
        return [*names, *sorted(missing)]

    def _current(self) -> dict[str, Any]:
        values = {f"self.{name}": value for name, value in vars(self.aggregator).items()}
        return values | {shared.label: shared.value for shared in _shared_values(self.aggregator)}


class SharedValues:
    """Class attributes and globals, which copies of an algorithm share with it; put back after the trial."""

    def __init__(self, aggregator: Aggregator):
        self._saved = [(shared, cloned(shared.value)) for shared in _shared_values(aggregator)]
        functions = [member for owner in _classes(aggregator) for member in _members(owner)]
        self._caches: list[Callable[[], None]] = [f.cache_clear for f in functions if hasattr(f, "cache_clear")]

    def restore(self) -> None:
        """Everything as it was. Containers and tensors keep their identity."""
        for shared, saved in self._saved:
            value = shared.value
            if isinstance(value, dict | set) and differ(value, saved):
                value.clear()
                value.update(saved)
            elif isinstance(value, list | deque) and differ(value, saved):
                value.clear()
                value.extend(saved)
            elif isinstance(value, Tensor):
                value.data.copy_(saved)
            if getattr(shared.holder, shared.name, None) is not value:
                setattr(shared.holder, shared.name, value)
        for clear in self._caches:
            clear()


@dataclass
class _Shared:
    """A value that copies of an algorithm share with it."""

    label: str  # for a sentence
    holder: Any  # the class or the module
    name: str
    value: Any


def _shared_values(aggregator: Aggregator) -> Iterator[_Shared]:
    for owner in _classes(aggregator):
        yield from (_Shared(f"{owner.__name__}.{n}", owner, n, v) for n, v in vars(owner).items() if _is_data(n, v))
        module, values = sys.modules.get(owner.__module__), _globals(owner)
        for name in sorted(_names(owner)):
            if name in values and _is_data(name, values[name]):
                yield _Shared(f"the global {name}", module, name, values[name])


def _classes(aggregator: Aggregator) -> Iterator[type]:
    """The algorithm's classes that are not fedlit's."""
    for owner in type(aggregator).__mro__:
        if owner not in (object, Aggregator) and not owner.__module__.startswith("fedlit."):
            yield owner


def _members(owner: type) -> Iterator[Any]:
    """The members of a class, and the globals that its methods name."""
    values = _globals(owner)
    yield from vars(owner).values()
    yield from (values[name] for name in _names(owner) if name in values)


def _is_data(name: str, value: Any) -> bool:
    if name.startswith("__") or name == "_abc_impl" or not isinstance(value, _DATA):
        return False
    size = value.numel() if isinstance(value, Tensor) else value.size if isinstance(value, np.ndarray) else 0
    return size <= _LARGEST


def _globals(owner: type) -> dict[str, Any]:
    return vars(sys.modules[owner.__module__]) if owner.__module__ in sys.modules else {}


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
