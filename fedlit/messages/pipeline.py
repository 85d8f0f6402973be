"""The path of a message from client to server, both halves side by side.

client   message -> [unpack, if the reduction is blind] -> encode, stage by stage -> encode of the reduction -> wire
server   wire -> decode, stage by stage in reverse order -> [unpack, if the client did not] -> the reduction
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedlit.aggregators.base import Aggregator
from fedlit.client import Client, ClientState
from fedlit.messages.reductions import Reduction
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire, flatten_message, unflatten_message
from fedlit.model_vectors import stack, unstack
from fedlit.server_round import ServerRound


@dataclass
class Sent:
    """What K clients send."""

    wire: Wire  # (K, ...)
    states: list[ClientState]  # K dicts of the stages' new states, by name
    finite: Tensor  # (K,) bools: all numbers were finite before the reduction's half


@dataclass(frozen=True)
class Pipeline:
    """The stages and the reduction of a run. It holds hyperparameters only and is pickled to the clients."""

    aggregator: Aggregator
    uplink: Mapping[str, Stage]  # by name, in the order in which a message passes them
    reduction: Reduction
    weighting: dict[str, str]  # key of a message -> "examples" or "uniform"

    def send(self, client: Client, message: dict[str, Any], states: Sequence[ClientState]) -> Sent:
        """The clients' half, for K clients with their states."""
        wire = flatten_message(self.aggregator.unpack(message) if self.reduction.blind else message)
        new_states: list[ClientState] = [{} for _ in states]
        for name, stage in self.uplink.items():
            initial = unstack(stage.state(client, wire), len(states))
            before = [state.get(name) or first for state, first in zip(states, initial, strict=True)]
            wire, after = stage.encode(client, wire, stack(before))
            for state, stage_state in zip(new_states, unstack(after, len(states)), strict=True):
                state[name] = stage_state
        finite = finite_rows(wire.values(), len(states))
        return Sent(self.reduction.encode(client, wire, self.weighting), new_states, finite)

    def inbox(self, round: ServerRound) -> Inbox:
        """The server's half for one round."""
        return Inbox(self, round)


class Inbox:
    """Decodes, unpacks and reduces the messages of one round, chunk by chunk, as they arrive."""

    def __init__(self, pipeline: Pipeline, round: ServerRound):
        self.pipeline, self.reduction = pipeline, pipeline.reduction.start(pipeline.weighting, round)

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> Wire | None:
        """Add a chunk of messages (K, ...), with the clients' numbers of training samples (K, 1).

        Returns:
            The decoded messages; None if the reduction is blind.
        """
        for stage in reversed(list(self.pipeline.uplink.values())):
            wire = stage.decode(wire)
        decoded = None if self.reduction.blind else wire
        if decoded is not None:
            wire = flatten_message(self.pipeline.aggregator.unpack(unflatten_message(decoded)))
        self.reduction.add(clients, wire, examples)
        return decoded

    def reduced(self) -> dict[str, Any]:
        """The reduced message; empty if nothing arrived."""
        return self.reduction.finish()


def finite_rows(tensors: Iterable[Tensor], k: int) -> Tensor:
    """(k,) bools: whether each row of the floating-point tensors (k, ...) is finite."""
    floats = [t.flatten(1) for t in tensors if t.is_floating_point()]
    if not floats:
        return torch.ones(k, dtype=torch.bool)
    # NaN and infinity stay in a sum, and a sum is cheap. Sums of finite numbers can overflow: then each one is tested
    finite = torch.stack([torch.isfinite(t.sum(1)) for t in floats]).all(0)
    return finite if finite.all() else torch.stack([torch.isfinite(t).all(1) for t in floats]).all(0)
