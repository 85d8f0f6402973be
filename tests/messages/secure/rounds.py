"""Rounds of a protocol without training: messages go in, clients are lost where a test says, and wires are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedlit.messages.reductions import Protocol, ProtocolClient, Reduced
from fedlit.messages.wire import Wire
from fedlit.round import Round
from fedlit.server_round import ServerRound


@dataclass
class Played:
    """
    Attributes:
        sent: trip -> client -> what it sent.
        received: trip -> client -> what the server sent it.
    """

    reduced: Reduced
    arrived: list[int]
    refusals: dict[int, str] = field(default_factory=dict)
    sent: dict[int, dict[int, Wire]] = field(default_factory=dict)
    received: dict[int, dict[int, Wire]] = field(default_factory=dict)


def play(
    reduction: Protocol,
    wire: Wire,
    examples: Sequence[int],
    lost: Mapping[int, Sequence[int]] | None = None,
    weighting: Mapping[str, str] | None = None,
    number: int = 1,
    cohort: Sequence[int] | None = None,
    tamper: Callable[[int, int, Wire], Wire] = lambda trip, client, wire: wire,
) -> Played:
    """
    Args:
        wire: messages (K, ...).
        lost: trip -> the clients that fail in it.
        cohort: their numbers, 0 to K - 1 by default.
        tamper: trip, client and what it sends -> what comes.
    """
    numbers = list(cohort or range(len(examples)))
    lost, weighting = lost or {}, weighting or {}
    counts = dict(zip(numbers, torch.tensor(examples, dtype=torch.float64), strict=True))
    server = reduction.start(weighting, ServerRound(number=number, seed=0, cohort=numbers, clients=100))
    round = Round(number=number, seed=0, cohort=numbers, clients=100)
    played = Played(Reduced({}), numbers)
    states: dict[int, Wire] = {}
    asked, to_all, to_each = numbers, {}, {}
    for trip in range(1, reduction.trips + 1):
        played.sent[trip], played.received[trip], answered = {}, {}, []
        for row, client in enumerate(asked):
            if client in lost.get(trip, ()):
                continue
            of_client = {key: value[row : row + 1] for key, value in to_each.items()}
            played.received[trip][client] = {**to_all, **of_client}
            at = ProtocolClient(torch.tensor([[client]]), counts[client].reshape(1, 1), round, trip, to_all, of_client)
            if trip == 1:
                message = {key: value[[numbers.index(client)]] for key, value in wire.items()}
                sent, states[client] = reduction.first(at, message, weighting)
            else:
                sent, states[client] = reduction.answer(at, states[client])
            if at.refusals:
                played.refusals[client] = at.refusals[0]
                continue
            sent = tamper(trip, client, sent)
            played.sent[trip][client] = sent
            server.add([client], sent, counts[client].reshape(1, 1))
            answered.append(client)
        if trip <= reduction.message_trip:
            played.arrived = answered
        if trip < reduction.trips:
            question = server.ask()
            asked, to_all, to_each = question.clients, question.to_all, question.to_each
            if not asked:
                break
    played.reduced = server.finish()
    return played


def messages(k: int, size: int = 12, seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return {
        "delta.weights": (2 * torch.rand(k, size, generator=rng, dtype=torch.float64) - 1).to(dtype),
        "delta.statistics": 5 * torch.rand(k, 3, generator=rng, dtype=torch.float64).to(dtype),
    }
