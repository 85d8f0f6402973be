"""Rounds of messages for the tests of reductions."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions import Reduced, Reduction
from fedlit.server_round import ServerRound

CLIENTS = 13
LAYOUT: Any = SimpleNamespace(size=4)
"""Of a model with four weights."""


def message(x: Tensor, statistics: Tensor | None = None, **numbers: Tensor) -> dict[str, Tensor]:
    """The wire of rows (n, P) as `delta`, with its statistics and other keys."""
    return {"delta.weights": x, "delta.statistics": x[:, :0] if statistics is None else statistics} | numbers


def reduce(
    rule: Reduction,
    wire: dict[str, Tensor] | Tensor,
    clients: Sequence[int] | None = None,
    chunk: int = 4,
    state: dict[str, Any] | None = None,
    number: int = 1,
    **facts: Any,
) -> Reduced:
    """One round: the messages arrive in chunks. Clients report huge numbers of samples, which nobody may read."""
    wire = message(wire) if torch.is_tensor(wire) else wire
    n = len(next(iter(wire.values())))
    clients = list(range(n)) if clients is None else list(clients)
    collector = rule.start({}, ServerRound(number, 0, clients, max(CLIENTS, n), **facts), state)
    for start in range(0, n, chunk):
        rows = slice(start, start + chunk)
        examples = torch.tensor([[10.0 ** (c % 7)] for c in clients[rows]])
        collector.add(clients[rows], {key: value[rows] for key, value in wire.items()}, examples)
    return collector.finish()


def vector(rule: Reduction, wire: dict[str, Tensor] | Tensor, **facts: Any) -> Tensor:
    """The reduced weights of `delta`."""
    result: Tensor = reduce(rule, wire, **facts).message["delta"].weights
    return result


def plan(expected: float = 10.0, **changes: Any) -> MessagePlan:
    """FedAvg's messages of a model with four weights and two statistics."""
    facts: dict[str, Any] = {
        "algorithm": "FedAvg",
        "message": {"delta.weights": torch.zeros(4), "delta.statistics": torch.zeros(2)},
        "weighting": {},
        "layout": LAYOUT,
        "clients": 20,
        "expected": expected,
    }
    return MessagePlan(**facts | changes)
