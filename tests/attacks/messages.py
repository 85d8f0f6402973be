"""Messages of a cohort, and clients and rounds as stages and reductions see them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.attacks import Attack, CollusiveAttack
from fedlit.messages.reductions import All, Reduced, Reduction
from fedlit.messages.stages import StageClient
from fedlit.messages.wire import Wire, flatten_message
from fedlit.round import Round
from fedlit.server_round import ServerRound

CLIENTS, SIZE = 12, 5
LAYOUT: Any = SimpleNamespace(size=SIZE)
MODELS = ("delta.weights", "control.weights", "c")
"""The keys of vectors that move a model."""


class Clients:
    """K clients with keyed draws."""

    def __init__(self, numbers: list[int], round: Round):
        self.numbers, self.round = numbers, round
        self.number = torch.tensor(numbers)[:, None]
        self.examples = torch.ones(len(numbers), 1)

    def draw(self, kind: str, what: str, like: Tensor) -> Tensor:
        rngs = [self.round.generator("draw", what, c) for c in self.numbers]
        rows = [
            rng.random(like.shape[1:]) if kind == "uniform" else rng.standard_normal(like.shape[1:]) for rng in rngs
        ]
        return torch.from_numpy(np.stack(rows)).to(like.dtype)


def wire_of(numbers: list[int], round: int = 1, size: int = SIZE) -> Wire:
    """Messages of two Models and one vector, in 64 bits; a client has the same ones beside any others."""
    rng = [np.random.default_rng([client, round]) for client in numbers]

    def rows(*shape: int) -> Tensor:
        return torch.from_numpy(np.stack([r.normal(0.5, 1.0, shape) for r in rng]))

    return {
        "delta.weights": rows(size),
        "delta.statistics": rows(2),
        "control.weights": rows(size),
        "control.statistics": rows(0),
        "c": rows(size),
        "steps": rows(1),
    }


def stage_client(
    numbers: list[int], round: int = 1, cohort: list[int] | None = None, **received: Tensor
) -> StageClient:
    clients: Any = Clients(numbers, Round(round, 0, cohort or numbers, CLIENTS))
    return StageClient(clients, "attack", LAYOUT, {key.replace("__", "."): value for key, value in received.items()})


def ready(attack: Attack) -> Any:
    attack.setup(CLIENTS, seed=0)
    return attack


def reduced(
    reduction: Reduction, chunks: list[list[int]], round: int = 1, state: dict[str, Any] | None = None
) -> Reduced:
    """The messages of a round, reduced, in these chunks."""
    cohort = [client for chunk in chunks for client in chunk]
    reduction.setup(LAYOUT, CLIENTS)
    collector = reduction.start({}, ServerRound(round, 0, cohort, CLIENTS), state)
    for chunk in chunks:
        collector.add(chunk, wire_of(chunk, round), torch.ones(len(chunk), 1))
    return collector.finish()


def passed_on(
    attack: CollusiveAttack, chunks: list[list[int]], round: int = 1, state: dict[str, Any] | None = None
) -> tuple[Wire, Reduced]:
    """The messages that reach the reduction, (K, ...) in cohort order."""
    result = reduced(attack.collusion(All()), chunks, round, state)
    return flatten_message(result.message), result


def joint(wire: Wire, rows: list[int]) -> np.ndarray:
    """(H, 3 P) the vectors of some messages."""
    return torch.cat([wire[key] for key in MODELS], 1)[rows].numpy()
