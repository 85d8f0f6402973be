"""Clients and a server for the tests of single stages, without a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedlit.messages.sent import Sent
from fedlit.messages.stages import Stage, StageClient
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Layout
from fedlit.round import Round

W = "delta.weights"


class Net(nn.Module):
    """Tensors (3, 2, 2), (1,), (5, 4) and (5,), in this order: 38 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.zeros(3, 2, 2))
        self.scale = nn.Parameter(torch.zeros(1))
        self.body = nn.Linear(4, 5)


LAYOUT = Layout(Net())
SIZES = [12, 1, 20, 5]
P = 38


@dataclass
class Drawing:
    """K clients that draw, each from a stream of its own, and remember what they have drawn."""

    numbers: Sequence[int]
    round: Round
    drawn: dict[str, Tensor] = field(default_factory=dict)

    @property
    def number(self) -> Tensor:
        return torch.tensor(self.numbers)[:, None]

    @property
    def examples(self) -> Tensor:
        return torch.ones(len(self.numbers), 1)

    def draw(self, kind: str, what: str, like: Tensor) -> Tensor:
        assert kind == "uniform"
        seeds = [np.random.SeedSequence([*what.encode(), self.round.number, number]) for number in self.numbers]
        rows = np.stack([np.random.default_rng(seed).random(like.shape[1:]) for seed in seeds])
        self.drawn[what] = torch.from_numpy(rows).to(like.dtype)
        return self.drawn[what]


class ManyRows(Drawing):
    """Clients for tests of means over thousands of draws."""

    def draw(self, kind: str, what: str, like: Tensor) -> Tensor:
        return torch.from_numpy(np.random.default_rng(3).random(like.shape)).to(like.dtype)


@dataclass
class Passed:
    """Messages that have passed a stage."""

    wire: Wire
    decoded: Wire
    state: dict[str, Any]
    client: StageClient
    drawn: Tensor | None


def clients(count: int | Sequence[int], number: int = 1, kind: type[Drawing] = Drawing) -> StageClient:
    """K clients in a round."""
    numbers = list(range(count)) if isinstance(count, int) else list(count)
    return StageClient(kind(numbers, Round(number, 0, numbers, 20_000)), "tried", LAYOUT)  # type: ignore[arg-type]


def passed(
    stage: Stage,
    wire: Wire,
    state: dict[str, Any] | None = None,
    numbers: Sequence[int] | None = None,
    number: int = 1,
    kind: type[Drawing] = Drawing,
) -> Passed:
    """Send a wire (K, ...) and decode it.

    Args:
        state: of the clients; None: their first.
        numbers: of the clients; 0 to K - 1 if None.
        number: of the round.
    """
    stage.setup(LAYOUT, 20_000)
    client = clients(numbers or len(next(iter(wire.values()))), number, kind)
    state = stage.state(client, wire) if state is None else state
    encoded, state = stage.encode(client, {key: value.clone() for key, value in wire.items()}, state)
    sent = Sent(list(client.client.numbers), client.round, LAYOUT)  # type: ignore[attr-defined]
    decoded = stage.decode({key: value.clone() for key, value in encoded.items()}, sent)
    drawn = next(iter(client.client.drawn.values()), None)  # type: ignore[attr-defined]
    return Passed(encoded, decoded, state, client, drawn)


def vectors(k: int, size: int = P, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    """(k, size) normal numbers."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((k, size))).to(dtype)
