"""store=memory: client states in this process, all saved with each checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fedlit.model_vectors import tree_map
from fedlit.stores.base import State, Store


class MemoryStore(Store):
    """A dict in memory; every checkpoint holds all of it."""

    def __init__(self) -> None:
        self._states: dict[int, State] = {}

    def load(self, round: int, saved: dict[Any, Any]) -> None:
        self._states = dict(saved)

    def get(self, clients: Sequence[int]) -> list[State | None]:
        return [self._states.get(client) for client in clients]

    def put(self, round: int, states: Sequence[tuple[int, State]]) -> None:
        for client, state in states:
            if any(state.values()):
                self._states[client] = tree_map(lambda t: t.clone(), state)  # a view would keep the stack in memory

    def save(self) -> dict[int, State]:
        return self._states

    def items(self) -> Iterator[tuple[int, State]]:
        return iter(sorted(self._states.items()))
