"""What a run of parties keeps: a checkpoint saves this and nothing else. No key is in it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from fedlit.saved_values import check_saved, plain_copy
from fedlit.vertical.party import State


@dataclass
class PartiesState:
    """The state of a run after a round.

    Attributes:
        round: rounds completed.
        parties: party -> its state, as bytes: the main process has no need to look into it.
        bytes: that have travelled in the rounds, by the name of their metric.
        seconds: spent in rounds, over all starts.
        best: `round`, and a metric's name -> value: best so far.
        stopping: what early stopping keeps.
        stopped: why the run ended before its last round.
    """

    round: int
    parties: Mapping[str, bytes]
    bytes: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    best: dict[str, Any] | None = None
    stopping: dict[str, Any] = field(default_factory=dict)
    stopped: str | None = None


def as_bytes(state: State, where: str) -> bytes:
    """
    Args:
        where: the owner of the state, for messages.

    Raises:
        InputError: it holds what could not be read again: a numpy array, or an integer above 2,040 bits.
    """
    check_saved(state, where)
    file = io.BytesIO()
    torch.save(plain_copy(state), file)
    return file.getvalue()


def from_bytes(saved: bytes) -> State:
    """A new copy of the state."""
    return dict(torch.load(io.BytesIO(saved), weights_only=True))


EMPTY = as_bytes({}, "an empty state")
