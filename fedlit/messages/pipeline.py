"""The way of a message from client to server, both halves side by side.

client   message -> [unpack, if the reduction is blind] -> uploads in order -> the reduction's client half -> wire
server   wire -> uploads in reverse order -> [unpack] -> the reduction
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fedlit.aggregators.base import Aggregator
from fedlit.client import Client
from fedlit.messages.reductions import Reduction
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire, flatten_message, unflatten_message
from fedlit.model_vectors import stack, tree_map
from fedlit.server_round import ServerRound

ClientState = dict[str, Any]


@dataclass(frozen=True)
class Pipeline:
    """The stages of a run. Holds hyperparameters only and is picklable: clients get it as it is."""

    aggregator: Aggregator
    uploads: Sequence[Stage]
    reduction: Reduction
    weighting: dict[str, str]  # key of a message -> "examples" or "uniform"

    def send(
        self, client: Client, message: dict[str, Any], states: Sequence[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        """The client half, for K clients: what travels before the reduction's own half, and each upload's new state."""
        wire = flatten_message(self.aggregator.unpack(message) if self.reduction.blind else message)
        new: list[ClientState] = [{} for _ in states]
        for upload in self.uploads:
            fresh = rows(upload.state(client, wire), len(states))
            before = stack([state.get(upload.name) or one for state, one in zip(states, fresh, strict=True)])
            wire, after = upload.encode(client, wire, before)
            for state, one in zip(new, rows(after, len(states)), strict=True):
                state[upload.name] = one
        return wire, new

    def inbox(self, round: ServerRound) -> Inbox:
        """The server half, for one round."""
        return Inbox(self, round)


class Inbox:
    """The messages of one round: decoded, unpacked and reduced as they come in, chunk by chunk."""

    def __init__(self, pipeline: Pipeline, round: ServerRound):
        self.pipeline, self.reduction = pipeline, pipeline.reduction.start(pipeline.weighting, round)

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> Wire | None:
        """Take in a chunk of messages. Gives the decoded messages, or None where the server may not see them."""
        for upload in reversed(self.pipeline.uploads):
            wire = upload.decode(wire)
        decoded = None if self.reduction.blind else wire
        if decoded is not None:
            wire = flatten_message(self.pipeline.aggregator.unpack(unflatten_message(decoded)))
        self.reduction.add(clients, wire, examples)
        return decoded

    def reduced(self) -> dict[str, Any]:
        """The reduced message; empty where nothing arrived."""
        return self.reduction.finish()


def rows(tree: Any, k: int) -> list[Any]:
    """A tree of tensors (K, ...) as K trees."""
    return [tree_map(lambda t: t[r], tree) for r in range(k)]  # noqa: B023
