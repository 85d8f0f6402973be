"""Everything that changes in a run, in one place: a checkpoint saves this and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fedlit.stores import Store


@dataclass
class FederationState:
    """The state of a run after a round."""

    round: int  # rounds completed
    server: dict[str, Any]  # what the algorithm keeps on the server
    clients: Store  # what each client keeps
    counters: dict[str, Tensor] = field(default_factory=dict)  # integer buffers, the largest of all clients
    best: dict[str, Any] | None = None  # `round`, and a metric's name -> value: best so far
    lost: int = 0  # clients that were lost, over all rounds (see `RoundRecord`)
    seconds: float = 0.0  # spent in rounds, over all starts
    sampler: dict[str, Any] = field(default_factory=dict)  # what the sampler keeps; on the CPU
    messages: dict[str, Any] = field(default_factory=dict)  # what the server keeps of stages and reduction
    stopping: dict[str, Any] = field(default_factory=dict)  # what early stopping keeps
    stopped: str | None = None  # why the run ended before its last round


def keep_largest(counters: dict[str, Tensor], returned: dict[str, Tensor]) -> dict[str, Tensor]:
    """Integer buffers, such as the step count of batch normalisation, are never averaged: the largest is kept.

    Args:
        counters: name -> the largest so far.
        returned: name -> (K, ...), one row a client.

    Returns:
        name -> the largest, on the CPU.
    """
    largest = {n: r.amax(0).cpu() for n, r in returned.items()}
    return counters | {n: value.maximum(counters[n]) if n in counters else value for n, value in largest.items()}
