"""Whether methods and attributes of a user's algorithm are those of the contract."""

from __future__ import annotations

import inspect
from typing import Any

from fedlit.aggregators.base import Aggregator
from fedlit.errors import InputError

_OLD_NAMES = {"needs_server_data": "needs_server"}
_SET_BY_INIT = ("weighting", "server_optimizer")  # by `FedAvg.__init__` and others


def check_signatures(aggregator: Aggregator) -> None:
    """
    Raises:
        InputError: a method takes other arguments than those it is called with, an attribute has an old name, or an
            attribute of the class is replaced by the __init__ of a class above it.
    """
    name = type(aggregator).__name__
    for method, of_contract in vars(Aggregator).items():
        if method.startswith("_") or not inspect.isfunction(of_contract):
            continue
        overridden = getattr(aggregator, method)
        if getattr(overridden, "__func__", None) is of_contract:
            continue
        parameters = list(inspect.signature(of_contract).parameters)
        try:
            inspect.signature(overridden).bind(*parameters[1:])
        except TypeError:
            taken = ", ".join(inspect.signature(overridden).parameters)
            raise InputError(
                f"{name}.{method} takes ({taken}), and it is called with ({', '.join(parameters[1:])}); write: def "
                f"{method}({', '.join(parameters)})."
            ) from None
        except ValueError:
            pass  # no signature that Python can read
    for old, new in _OLD_NAMES.items():
        if hasattr(aggregator, old):
            raise InputError(f"{name}.{old} is not read; write {new} = {getattr(aggregator, old)!r}.")
    for attribute in _SET_BY_INIT:
        _check_not_replaced(aggregator, attribute)


def _check_not_replaced(aggregator: Aggregator, attribute: str) -> None:
    classes = list(type(aggregator).__mro__)
    owner = next(kind for kind in classes if attribute in vars(kind))
    inits = [vars(kind)["__init__"] for kind in classes[: classes.index(owner) + 1] if "__init__" in vars(kind)]
    if attribute not in vars(aggregator) or any(_sets(init, attribute) for init in inits):
        return
    of_class, in_effect = vars(owner)[attribute], vars(aggregator)[attribute]
    if of_class is not in_effect and of_class != in_effect and owner is not Aggregator:
        raise InputError(
            f"{owner.__name__}.{attribute} = {of_class!r} of the class has no effect, because an __init__ sets "
            f"self.{attribute} = {in_effect!r}; set it in {owner.__name__}.__init__, after super().__init__()."
        )


def _sets(init: Any, attribute: str) -> bool:
    """Whether an __init__ names the attribute; True where its code is not known."""
    code = getattr(inspect.unwrap(init), "__code__", None)
    return code is None or attribute in code.co_names
