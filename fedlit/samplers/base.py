"""The contract of a sampler: which clients a round asks."""

# ruff: noqa: B027  (an empty method that is not abstract: a sampler overrides only what it needs)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import index
from typing import Any

import numpy as np

from fedlit.errors import InputError

Probe = Callable[[Sequence[int]], np.ndarray]
"""From K clients to the losses (K,) of the models that they would receive, on their training data. Where they receive
no model, or parts of one, it is the model that each would use itself (`Aggregator.personal`). NaN where a client has no
samples, or failed under `engine.on_failure=drop`."""


State = dict[str, Any]
"""What a sampler keeps between rounds: tensors, numbers and text of Python, lists and dicts of these."""


class Sampler(ABC):
    """Chooses the clients of a round. Attributes of `self` are hyperparameters, and what `setup` reads.

    A sampler without a state writes `__call__`:

    >>> class EveryOther(Sampler):
    ...     def __call__(self, round_number, rng, clients, probe):
    ...         return range(round_number % 2, clients, 2)
    ...
    ...     def expected(self, clients):
    ...         return clients / 2
    >>> list(EveryOther()(1, np.random.default_rng(0), clients=5, probe=lambda clients: np.zeros(len(clients))))
    [1, 3]

    A sampler that keeps something from round to round writes `choose` in its place, and keeps it in the state, which is
    saved with each checkpoint. This one asks the clients with the largest losses of their last training, and those that
    have not trained yet before them. A client without samples never trains, so it comes last:

    >>> import torch
    >>> class LargestLast(Sampler):  # in mine.py, chosen by sampler._target_=mine.LargestLast
    ...     def setup(self, sizes):
    ...         self.sizes = torch.from_numpy(sizes)
    ...
    ...     def initial_state(self):
    ...         return {"loss": torch.where(self.sizes > 0, torch.inf, -torch.inf)}
    ...
    ...     def choose(self, round_number, rng, clients, probe, state):
    ...         return state["loss"].topk(2).indices.tolist(), state
    ...
    ...     def observe(self, state, losses):
    ...         loss = state["loss"].clone()
    ...         for client, value in losses.items():
    ...             loss[client] = value
    ...         return {"loss": loss}
    ...
    ...     def expected(self, clients):
    ...         return 2.0
    >>> sampler = LargestLast()
    >>> sampler.setup(np.array([10, 20, 30]))
    >>> state = sampler.observe(sampler.initial_state(), {0: 0.5, 1: 0.25})
    >>> sampler.choose(2, np.random.default_rng(0), 3, probe=None, state=state)[0]
    [2, 0]
    """

    def setup(self, sizes: np.ndarray) -> None:
        """Called once before the run; `sizes` (N,) are the training samples of the clients."""

    def initial_state(self) -> State:
        """The state before the first round, after `setup`; `{}` is stateless."""
        return {}

    def choose(
        self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe, state: State
    ) -> tuple[Sequence[int], State]:
        """The clients to ask and the new state. The other arguments are those of `__call__`, the default."""
        return self(round_number, rng, clients, probe), state

    def observe(self, state: State, losses: Mapping[int, float]) -> State:
        """The new state at the end of a round.

        Args:
            state: that `choose` has returned.
            losses: client -> its training loss (`train/loss`), of the clients whose messages arrived, in cohort order.
                A client without such a loss, as under an algorithm that does not train, is not in it.
        """
        return state

    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        """The clients to ask, in any order; may be empty.

        Args:
            round_number: from 1.
            rng: depends on seed and round alone, so that every algorithm gets the same cohorts.
            clients: number of clients; they are numbered 0 to clients - 1.
            probe: measures losses of clients, for samplers that choose by loss.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither __call__ nor choose")

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
            is_bool = isinstance(value, bool) or str(getattr(value, "dtype", "")) == "torch.bool"
            number = -1 if is_bool else index(value)
        except TypeError:
            number = -1
        if not 0 <= number < clients:
            raise InputError(
                f"{name} chooses client {value!r} of {clients}; return whole numbers from 0 to {clients - 1}, and no "
                "mask."
            )
        numbers.append(number)
    return numbers


def checked_choice(sampler: Sampler, choice: Any, clients: int) -> tuple[list[int], State]:
    """The chosen clients as plain numbers, and the sampler's new state.

    Raises:
        InputError: `choose` has not returned clients and a state.
    """
    if not isinstance(choice, tuple | list) or len(choice) != 2 or not isinstance(choice[1], dict):
        raise InputError(
            f"{type(sampler).__name__}.choose returns {choice!r}; return the clients and the new state: return "
            "clients, state."
        )
    chosen, state = choice
    return checked_clients(sampler, chosen, clients), state


def checked_state(sampler: Sampler, method: str, state: Any) -> State:
    """
    Raises:
        InputError: the state is no dict.
    """
    if not isinstance(state, dict):
        raise InputError(
            f"{type(sampler).__name__}.{method} returns {state!r} as the state; return a dict, such as {{}} where "
            "nothing is kept."
        )
    return state


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
