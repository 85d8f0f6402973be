"""store=memory: client states in this process, all saved with each checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fedlit.client import ClientState
from fedlit.model_vectors import tree_map
from fedlit.stores.base import Store, is_empty


class MemoryStore(Store):
    """A dict in memory; every checkpoint holds all of it."""

    def __init__(self) -> None:
        self._states: dict[int, ClientState] = {}

    def load(self, round_number: int, saved: dict[Any, Any]) -> None:
        self._states = dict(saved)

    def get(self, clients: Sequence[int]) -> list[ClientState | None]:
        return [self._states.get(client) for client in clients]

    def put(self, round_number: int, states: Sequence[tuple[int, ClientState]]) -> None:
        for client, state in states:
            if not is_empty(state):
                self._states[client] = tree_map(lambda t: t.clone(), state)  # a view would keep the stack in memory

    def save(self) -> dict[int, ClientState]:
        return self._states

    def items(self) -> Iterator[tuple[int, ClientState]]:
        return iter(sorted(self._states.items()))
