"""Whether the methods of a user's algorithm take the arguments of the contract, and its attributes are read."""

from __future__ import annotations

from fedlit.aggregators.base import Aggregator
from fedlit.errors import InputError
from fedlit.method_signatures import check_methods

_OLD_NAMES = {"needs_server_data": "needs_server"}


def check_signatures(aggregator: Aggregator) -> None:
    """
    Raises:
        InputError: a method takes other arguments than those it is called with, an attribute has an old name, or an
            attribute of the class is not read, because the __init__ of a class above sets another value.
    """
    name = type(aggregator).__name__
    check_methods(aggregator, Aggregator)
    for old, new in _OLD_NAMES.items():
        if hasattr(aggregator, old):
            raise InputError(f"{name}.{old} is not read; write {new} = {getattr(aggregator, old)!r}.")
    for attribute in Aggregator.__annotations__:
        _check_is_read(aggregator, attribute)


def _check_is_read(aggregator: Aggregator, attribute: str) -> None:
    """Refuse a value that a class body gives, and that an inherited `__init__` has replaced: FedAvg's sets `weighting`,
    so that `weighting = {...}` in the body of a subclass would change nothing."""
    if attribute not in vars(aggregator):
        return
    value = getattr(aggregator, attribute)
    for kind in type(aggregator).__mro__:
        if kind is Aggregator or _sets(kind, attribute):
            return
        if attribute in vars(kind):
            declared = vars(kind)[attribute]
            if declared == value:
                return
            raise InputError(
                f"{kind.__name__}.{attribute} = {declared!r} is not read, because the __init__ of a class above sets "
                f"{value!r}; write it in an __init__ of {kind.__name__}, after super().__init__(): self.{attribute} = "
                f"{declared!r}."
            )


def _sets(kind: type, attribute: str) -> bool:
    """Whether the class has an `__init__` of its own that names the attribute."""
    code = getattr(vars(kind).get("__init__"), "__code__", None)
    return code is not None and attribute in code.co_names
