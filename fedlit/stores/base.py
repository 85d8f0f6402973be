"""The contract of a store of client states."""

# ruff: noqa: B027  (empty methods that are not abstract, because a store in memory does not need them)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from fedlit.client import ClientState


def is_empty(state: ClientState) -> bool:
    """Whether a client keeps nothing: neither its algorithm, nor a stage, nor its optimiser."""
    return not any(state.get("stages", {}).values()) and not any(v for owner, v in state.items() if owner != "stages")


class Store(ABC):
    """Keeps the state of each client after its last round. Clients that never took part have no state.

    Order of calls: `open` and `load`; in each round `get` (for the cohort, then for evaluated clients) and `put`; at a
    checkpoint `save`, and `keep` after the checkpoint is written; `close` at the end.

    >>> class DictStore(Store):
    ...     def load(self, round_number, saved):
    ...         self.states = dict(saved)
    ...
    ...     def get(self, clients):
    ...         return [self.states.get(client) for client in clients]
    ...
    ...     def put(self, round_number, states):
    ...         self.states.update(states)
    ...
    ...     def save(self):
    ...         return self.states
    ...
    ...     def items(self):
    ...         return iter(sorted(self.states.items()))
    >>> store = DictStore()
    >>> store.load(0, {})
    >>> store.put(1, [(7, {"algorithm": {"head": torch.ones(2)}})])
    >>> store.get([3, 7])
    [None, {'algorithm': {'head': tensor([1., 1.])}}]
    """

    def open(self, folder: Path, device: torch.device) -> None:
        """Called once, before `load`.

        Args:
            folder: the folder of the run's checkpoints.
            device: of the run, and of returned tensors. Those that were put on the CPU by a run on another device, such
                as an optimiser's step count, stay there.
        """

    @abstractmethod
    def load(self, round_number: int, saved: dict[Any, Any]) -> None:
        """Restore the states at the end of a round and drop later ones.

        Args:
            round_number: completed rounds, 0 at the start of a run.
            saved: the return value of `save` at that round; empty at the start.

        Raises:
            InputError: the states of that round cannot be restored.
        """

    def view(self, round_number: int, saved: dict[Any, Any]) -> None:
        """In place of `load`, where states are only read: none of the run's states may be lost by it. By default
        `load`, for stores whose checkpoints hold all states.

        Raises:
            InputError: as in `load`.
        """
        self.load(round_number, saved)

    @abstractmethod
    def get(self, clients: Sequence[int]) -> list[ClientState | None]:
        """The states of these clients, in order; None for a client without a state."""

    @abstractmethod
    def put(self, round_number: int, states: Sequence[tuple[int, ClientState]]) -> None:
        """Write the new states of a round's clients: all of them, or none if the process is killed."""

    @abstractmethod
    def save(self) -> dict[Any, Any]:
        """The part of a checkpoint that concerns clients. On return, everything else is safely on disk."""

    def keep(self, oldest: int, newest: int) -> None:
        """Drop states that no checkpoint needs.

        Args:
            oldest: round of the oldest checkpoint that is kept.
            newest: round of the newest checkpoint; there may be others between.
        """

    @abstractmethod
    def items(self) -> Iterator[tuple[int, ClientState]]:
        """The clients that have a state, with their states, by number."""

    def close(self) -> None:
        """Close files."""
