"""What clients are asked to do in a round: small picklable callables that a worker runs on a chunk of clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fedlit.aggregators.base import Aggregator
from fedlit.messages.pipeline import Pipeline, rows
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Model, stack, tree_map
from fedlit.training.base import ChunkClient
from fedlit.training.cohort import ClientState


@dataclass
class TrainTask:
    """The clients' half of a round: the algorithm, then the uploads in their order, then the reduction's half."""

    pipeline: Pipeline
    watched: frozenset[int] = frozenset()  # clients whose received and trained models are measured
    each_epoch: bool = False  # the trained model after each local epoch, too

    def __call__(
        self, client: ChunkClient, broadcast: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        k = len(states)
        watched = [r for r, job in enumerate(client.jobs) if job.client in self.watched]
        if watched and isinstance(broadcast.get("model"), Model):
            self._note(client, broadcast["model"], watched, "received")
        if watched and self.each_epoch:
            client.watch_epochs(watched)
        before = stack([s["algorithm"] for s in states])
        message, after = self.pipeline.aggregator.local_update(client, broadcast, before)
        self._note_update(client, message, broadcast)
        if watched and client.last is not None:
            self._note(client, client.last, watched, "trained")
        wire, new = self.pipeline.send(client, message, states)
        for state, own in zip(new, rows(after, k), strict=True):
            state["algorithm"] = own
        for facts, finite in zip(client.facts, _finite(client, wire), strict=True):
            facts["finite"] = finite
        return self.pipeline.reduction.encode(client, wire, self.pipeline.weighting), new

    @staticmethod
    def _note(client: ChunkClient, model: Model, rows: Sequence[int], name: str) -> None:
        for r, totals in zip(rows, client.measure(model, "test", rows), strict=True):
            client.facts[r][name] = totals

    @staticmethod
    def _note_update(client: ChunkClient, message: dict[str, Any], broadcast: dict[str, Any]) -> None:
        delta = message.get("delta")
        if isinstance(delta, Model):
            for facts, norm in zip(client.facts, delta.weights.norm(dim=-1).tolist(), strict=True):
                facts["update_norm"] = norm


@dataclass
class PersonalEvaluationTask:
    """The clients' own models on their own test and validation data; nothing travels and no state changes."""

    aggregator: Aggregator

    def __call__(
        self, client: ChunkClient, broadcast: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        k = len(states)
        model = self.aggregator.personal(client, broadcast, stack([s["algorithm"] for s in states]))
        model = tree_map(lambda t: t.expand(k, -1), model)
        for stage in ("test", "validation"):
            for facts, totals in zip(client.facts, client.measure(model, stage, range(k)), strict=True):
                facts[stage] = totals
        return {}, [{} for _ in states]


@dataclass
class LossTask:
    """The received model's loss on the clients' training data, for samplers that choose by it."""

    def __call__(
        self, client: ChunkClient, broadcast: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        return {"loss": client.loss(broadcast["model"])}, [{} for _ in states]


def _finite(client: ChunkClient, wire: Wire) -> list[bool]:
    """Which clients of a chunk send and hold finite numbers."""
    tensors = [v for v in wire.values() if v.is_floating_point()]
    if client.last is not None:
        tensors.append(client.last.weights)
    found = torch.ones(len(client.facts), dtype=torch.bool, device=client.examples.device)
    for t in tensors:
        found &= torch.isfinite(t.flatten(1).sum(1))  # what is not finite stays so in a sum, and a sum is cheap
    return found.tolist()
