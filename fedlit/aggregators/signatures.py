"""Whether the methods of a user's algorithm take the arguments of the contract."""

from __future__ import annotations

import inspect

from fedlit.aggregators.base import Aggregator
from fedlit.errors import InputError

_OLD_NAMES = {"needs_server_data": "needs_server"}


def check_signatures(aggregator: Aggregator) -> None:
    """
    Raises:
        InputError: a method takes other arguments than those it is called with, or an attribute has an old name.
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
        except ValueError:  # no signature that Python can read
            continue
    for old, new in _OLD_NAMES.items():
        if hasattr(aggregator, old):
            raise InputError(f"{name}.{old} is not read; write {new} = {getattr(aggregator, old)!r}.")
