"""What a store of client states is."""

# ruff: noqa: B027  (empty methods that are not abstract: a store in memory has no use for them)

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

State = dict[str, Any]  # one client's: by whose it is ("algorithm", an upload's name, "optimizer"), no leading axis


class Store(ABC):
    """Keeps what each client had after the last round that it was part of.

    A client that was never part of one has no state here, and the states of an algorithm that keeps none cost nothing.

    Calls come in this order: `open`, `load`, then for each round `get` (once for the cohort, once for who is evaluated)
    and `put`. At a checkpoint: `save`, then, when it lies on the disk whole, `keep`. `close` at the end.
    """

    def open(self, folder: Path, device: torch.device) -> None:
        """Before all else.

        Args:
            folder: where the run keeps its checkpoints.
            device: where tensors are wanted that were not on the CPU when they were put.
        """

    @abstractmethod
    def load(self, round: int, saved: dict[Any, Any]) -> None:
        """Be as at the end of that round: what came after it is dropped.

        Args:
            round: rounds completed, 0 at the start of a run.
            saved: what `save` returned at that round; empty at the start.

        Raises:
            InputError: the states of that round are not to be had.
        """

    @abstractmethod
    def get(self, clients: Sequence[int]) -> list[State | None]:
        """The states of these clients, in their order; None for one that has none."""

    @abstractmethod
    def put(self, round: int, states: Sequence[tuple[int, State]]) -> None:
        """The new states of the clients that were part of a round: all of them, or none if the run is killed."""

    @abstractmethod
    def save(self) -> dict[Any, Any]:
        """What a checkpoint has to hold of the clients; what it does not hold lies safely on the disk when this
        returns."""

    def keep(self, oldest: int, newest: int) -> None:
        """There are checkpoints of these two rounds and maybe of some between; the states of no other round before
        `newest` will be asked for."""

    @abstractmethod
    def items(self) -> Iterator[tuple[int, State]]:
        """Every client that has a state, by number."""

    def close(self) -> None:
        """Let go of files."""
