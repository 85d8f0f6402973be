"""All that changes in a run, in one place: saving it is saving everything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from fedlit.model_vectors import each


class Store(Protocol):
    """Where the states of clients are kept between rounds."""

    def get(self, client: int) -> dict[str, Any] | None:
        """A client's state; None for one that has none yet."""

    def put(self, client: int, state: dict[str, Any]) -> None: ...

    def items(self) -> Iterable[tuple[int, dict[str, Any]]]: ...


class MemoryStore:
    """store=memory: client states in this process, saved whole with each checkpoint."""

    def __init__(self) -> None:
        self._states: dict[int, dict[str, Any]] = {}

    def get(self, client: int) -> dict[str, Any] | None:
        return self._states.get(client)

    def put(self, client: int, state: dict[str, Any]) -> None:
        if any(state.values()):  # a stateless algorithm costs nothing
            self._states[client] = each(lambda t: t.clone(), state)  # a view would keep a whole stack alive

    def items(self) -> Iterable[tuple[int, dict[str, Any]]]:
        return self._states.items()


@dataclass
class FederationState:
    round: int  # rounds completed
    server: dict[str, Any]  # what the algorithm keeps on the server
    clients: Store
    counters: dict[str, Tensor] = field(default_factory=dict)  # integer buffers, the largest of all clients
    best: dict[str, Any] | None = None  # round, metric and value of the best round so far
    failed: int = 0  # clients that raised or returned no finite number, over all rounds
    seconds: float = 0.0  # spent in rounds, over all starts


def keep_largest(counters: dict[str, Tensor], returned: dict[str, Tensor]) -> dict[str, Tensor]:
    """Integer buffers (the steps that batch normalisation has seen) never enter a mean: the largest is kept.

    `returned` has a leading axis of clients.
    """
    return counters | {n: r.amax(0).maximum(counters[n]) if n in counters else r.amax(0) for n, r in returned.items()}
