"""The tasks of clients in a round: small picklable callables that a worker runs on a chunk of clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fedlit.aggregators.base import Aggregator
from fedlit.client import ClientState
from fedlit.messages.pipeline import Pipeline, finite_rows
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Model, stack, tree_map, unstack
from fedlit.training.chunk_client import ChunkClient
from fedlit.training.job import Split

_PERSONAL_SPLITS: tuple[Split, ...] = ("test", "validation")


@dataclass
class TrainTask:
    """The clients' half of a round: the algorithm's `local_update`, then the client half of the pipeline.

    Adds to the facts of each client: "received" and "trained" (metrics of these models, for watched clients),
    "update_norm", and "finite", whether its message and trained weights are finite.
    """

    pipeline: Pipeline
    watched: frozenset[int] = frozenset()  # clients whose received and trained models are measured
    each_epoch: bool = False  # also measure the model after each local epoch

    def __call__(
        self, client: ChunkClient, received: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        watched = [r for r, job in enumerate(client.jobs) if job.client in self.watched]
        if watched and isinstance(received.get("model"), Model):
            _note_metrics(client, received["model"], "test", watched, "received")
        if watched and self.each_epoch:
            client.watch_epochs(watched)
        before = stack([state["algorithm"] for state in states])
        message, after = self.pipeline.aggregator.local_update(client, received, before)
        client.note_sent(message, received)
        _note_update_norm(client, message)
        if watched and client.last is not None:
            _note_metrics(client, client.last, "test", watched, "trained", client.counters)
        sent = self.pipeline.send(client, message, states)
        for state, algorithm_state in zip(sent.states, unstack(after, len(states)), strict=True):
            state["algorithm"] = algorithm_state
        finite = sent.finite
        if client.fits:
            trained = [fit.model.weights for fit in client.fits]
            finite = finite & finite_rows(trained, len(states)).to(finite.device)
        for facts, is_finite in zip(client.facts, finite.tolist(), strict=True):
            facts["finite"] = is_finite
        return sent.wire, sent.states


def _note_metrics(
    client: ChunkClient,
    model: Model,
    split: Split,
    rows: Sequence[int],
    name: str,
    counters: dict[str, Tensor] | None = None,
) -> None:
    for r, totals in zip(rows, client.measure(model, split, rows, counters), strict=True):
        client.facts[r][name] = totals
        if client.host.subject.higher_is_better:
            client.facts[r]["higher_is_better"] = dict(client.host.subject.higher_is_better)


def _note_update_norm(client: ChunkClient, message: dict[str, Any]) -> None:
    delta = message.get("delta")
    if isinstance(delta, Model):
        for facts, norm in zip(client.facts, delta.weights.norm(dim=-1).tolist(), strict=True):
            facts["update_norm"] = norm


@dataclass
class PersonalEvaluationTask:
    """Measures the clients' personal models on their test and validation data. Nothing is sent and no state changes."""

    aggregator: Aggregator

    def __call__(
        self, client: ChunkClient, received: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        k = len(states)
        model = self.aggregator.personal(client, received, stack([state["algorithm"] for state in states]))
        model = tree_map(lambda t: t.expand(k, -1), model)
        for split in _PERSONAL_SPLITS:
            _note_metrics(client, model, split, range(k), split)
        return {}, [{} for _ in states]


@dataclass
class LossTask:
    """The received model's loss on the clients' training data, for samplers that choose by it."""

    def __call__(
        self, client: ChunkClient, received: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        return {"loss": client.loss(received["model"])}, [{} for _ in states]
