"""The contract of a sampler: which clients a round asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from operator import index
from typing import Any

import numpy as np

from fedlit.errors import InputError

Probe = Callable[[Sequence[int]], np.ndarray]
"""From K clients to the losses (K,) of the models that they would receive, on their training data. Where they receive
no model, or parts of one, it is the model that each would use itself (`Aggregator.personal`). NaN where a client has no
samples, or failed under `engine.on_failure=drop`."""


class Sampler(ABC):
    """Chooses the clients of a round. Attributes of `self` are hyperparameters only.

    >>> class EveryOther(Sampler):
    ...     def __call__(self, round_number, rng, clients, probe):
    ...         return range(round_number % 2, clients, 2)
    ...
    ...     def expected(self, clients):
    ...         return clients / 2
    >>> list(EveryOther()(1, np.random.default_rng(0), clients=5, probe=lambda clients: np.zeros(len(clients))))
    [1, 3]
    """

    @abstractmethod
    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        """The clients to ask, in any order; may be empty.

        Args:
            round_number: from 1.
            rng: depends on seed and round alone, so that every algorithm gets the same cohorts.
            clients: number of clients; they are numbered 0 to clients - 1.
            probe: measures losses of clients, for samplers that choose by loss.
        """

    @abstractmethod
    def expected(self, clients: int) -> float:
        """The expected number of clients in a round."""


def checked_clients(sampler: Sampler, chosen: Any, clients: int) -> list[int]:
    """The chosen clients as plain numbers. A client that is drawn twice, with replacement, stays twice.

    Raises:
        InputError: one of them is no number from 0 to clients - 1.
    """
    name = type(sampler).__name__
    if not isinstance(chosen, Iterable) or isinstance(chosen, str | bytes):
        raise InputError(f"{name} returns {chosen!r} as the clients of a round; return a list of their numbers.")
    numbers: list[int] = []
    for value in chosen:
        try:
            number = -1 if isinstance(value, bool) else index(value)
        except TypeError:
            number = -1
        if not 0 <= number < clients:
            raise InputError(
                f"{name} chooses client {value!r} of {clients}; return whole numbers from 0 to {clients - 1}, and no "
                "mask."
            )
        numbers.append(number)
    return numbers


def checked_expected(sampler: Sampler, clients: int) -> float:
    """The expected number of clients in a round.

    Raises:
        InputError: it is no number, or negative, or not finite.
    """
    expected: Any = sampler.expected(clients)
    try:
        number = float(expected)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < float("inf"):
        raise InputError(
            f"{type(sampler).__name__}.expected returns {expected!r}; return the mean number of clients in a round, "
            f"such as {clients}."
        )
    return number
