"""The tasks of clients in a round: small picklable callables that a worker runs on a chunk of clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedlit.aggregators.base import Aggregator
from fedlit.client import ClientState
from fedlit.errors import InputError
from fedlit.messages.finite import first_not_finite
from fedlit.messages.pipeline import ASKED, ASKED_OF_EACH, KEPT, STAGE_BROADCASTS, Encoded, Pipeline
from fedlit.messages.reductions import Protocol, ProtocolClient
from fedlit.messages.wire import Wire, check_rows, flatten_message
from fedlit.model_vectors import Model, stack, tree_map, unstack
from fedlit.stop import Stop
from fedlit.training.chunk_client import ChunkClient
from fedlit.training.job import Split
from fedlit.used_models import UsedModels

_PERSONAL_SPLITS: tuple[Split, ...] = ("test", "validation")


@dataclass
class TrainTask:
    """The clients' half of a round: the algorithm's `local_update`, then the client half of the pipeline.

    A client that made no step in one of its fits ("idle" in its facts) is left out of the reduction, and keeps its
    state. Its message may be NaN, because its steps and learning rates are zero, so zeros take its place.

    Adds to the facts of each client: "received" and "trained" (metrics of these models, for watched clients),
    "update_norm", "stage_notes" (see `StageClient.note`), "not_finite", the key under which the algorithm's message is
    not finite, and "refused", why its encoded message is not sent.
    """

    pipeline: Pipeline
    watched: frozenset[int] = frozenset()  # clients whose received and trained models are measured
    each_epoch: bool = False  # also measure the model after each local epoch

    def __call__(
        self, client: ChunkClient, received: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        received = dict(received)
        stage_broadcasts = tree_map(lambda t: t[0], received.pop(STAGE_BROADCASTS, {}))
        watched = [r for r, job in enumerate(client.jobs) if job.client in self.watched]
        if watched and isinstance(received.get("model"), Model):
            _note_metrics(client, received["model"], "test", watched, "received")
        if watched and self.each_epoch:
            client.watch_epochs(watched)
        before = stack([state["algorithm"] for state in states])
        try:
            message, after = self.pipeline.aggregator.local_update(client, received, before)
            message = _zero_where_idle(client, message)
            sent = self.pipeline.send(client, message, states, stage_broadcasts)
        except (InputError, Stop):
            raise
        except Exception:
            if any("idle" not in facts for facts in client.facts):
                raise
            return {}, [{} for _ in states]  # no client of the chunk made a step
        client.note_sent(message, received)
        _note_update_norm(client, message)
        if watched and client.last is not None:
            _note_metrics(client, client.last, "test", watched, "trained", client.counters)
        _note_not_finite(client, sent.faults)
        _note_stages(client, sent)
        new_states = [
            {"algorithm": algorithm_state}
            | ({"stages": stages} if any(stages.values()) else {})
            | ({KEPT: kept} if kept else {})
            for algorithm_state, stages, kept in zip(unstack(after, len(states)), sent.stages, sent.kept, strict=True)
        ]
        return sent.wire, new_states


def _zero_where_idle(client: ChunkClient, message: dict[str, Any]) -> dict[str, Any]:
    """The messages (K, ...) with zeros in the rows of clients that made no step in one of their fits."""
    rows = [r for r, facts in enumerate(client.facts) if "idle" in facts]
    if not rows:
        return message

    def with_zeros(value: Any) -> Any:
        if isinstance(value, list):
            return [torch.zeros_like(t) if r in rows else t for r, t in enumerate(value)]
        value = value.clone()
        value[rows] = 0
        return value

    return tree_map(with_zeros, message)


def _note_not_finite(client: ChunkClient, faults: Sequence[str]) -> None:
    weights = {f"the weights after fit {i}": fit.model.weights for i, fit in enumerate(client.fits, start=1)}
    if len(weights) == 1:
        weights = {"the trained weights": client.fits[0].model.weights}
    fit_faults = first_not_finite(weights, len(faults))
    for r, (facts, fault, fit_fault) in enumerate(zip(client.facts, faults, fit_faults, strict=True)):
        if "idle" not in facts and (fault or fit_fault):
            facts["not_finite"] = fault or fit_fault
            if any(torch.equal(fit.start.weights[r], fit.model.weights[r]) for fit in client.fits):
                facts["not_finite"] += ", and a fit changed no weight (is its learning rate 0?)"


def _note_stages(client: ChunkClient, sent: Encoded) -> None:
    for facts, refusal in zip(client.facts, sent.refusals, strict=True):
        if refusal:
            facts["refused"] = refusal
    for name, values in sent.notes.items():
        for facts, value in zip(client.facts, values.tolist(), strict=True):
            facts.setdefault("stage_notes", {})[name] = value


@dataclass
class TripTask:
    """A later message of clients in a round: the last stage of `uplink`, or the reduction, answers what the server
    asks. Nothing is trained.

    Adds to the facts of each client: "refused", why it sends no answer.

    Args:
        trip: its number, from 2.
    """

    pipeline: Pipeline
    trip: int

    def __call__(
        self, client: ChunkClient, received: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        asked = tree_map(lambda t: t[0], received[ASKED])
        if isinstance(self.pipeline.reduction, Protocol):
            return self._answer(self.pipeline.reduction, client, asked, received.get(ASKED_OF_EACH, {}), states)
        name, stage = next(reversed(self.pipeline.uplink.items()))
        stage_client = self.pipeline.stage_client(client, name, asked, self.trip)
        wire, after = stage.answer(stage_client, asked, stack([state["stages"][name] for state in states]))
        check_rows(wire, len(states), f"answer of uplink.{name}")
        new_states = [
            state | {"stages": state["stages"] | {name: stage_state}}
            for state, stage_state in zip(states, unstack(after, len(states)), strict=True)
        ]
        return wire, new_states

    def _answer(
        self, protocol: Protocol, client: ChunkClient, asked: Wire, of_each: Wire, states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        protocol_client = ProtocolClient(client.number, client.examples, client.round, self.trip, asked, of_each)
        wire, kept = protocol.answer(protocol_client, stack([state.get(KEPT, {}) for state in states]))
        check_rows(wire, len(states), f"answer of {type(protocol).__name__}")
        check_rows(kept, len(states), f"answer of {type(protocol).__name__}", "what clients keep")
        for row, why in protocol_client.refusals.items():
            client.facts[row]["refused"] = why
        rows = unstack(kept, len(states))
        return wire, [state | {KEPT: kept_row} for state, kept_row in zip(states, rows, strict=True)]


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
        for facts, norm in zip(client.facts, delta.weights.flatten(1).norm(dim=1).tolist(), strict=True):
            facts["update_norm"] = norm


@dataclass
class PersonalEvaluationTask:
    """Measures the clients' personal models on their test and validation data. Nothing is sent and no state changes."""

    models: UsedModels

    def __call__(
        self, client: ChunkClient, received: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        k = len(states)
        model = self.models(client, received, stack([state["algorithm"] for state in states]))
        model = tree_map(lambda t: t.expand(k, -1), model)
        for split in _PERSONAL_SPLITS:
            _note_metrics(client, model, split, range(k), split)
        return {}, [{} for _ in states]


@dataclass
class MessageTask:
    """The clients' messages without stages: for their keys and shapes. No state changes."""

    aggregator: Aggregator

    def __call__(
        self, client: ChunkClient, received: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        message, _ = self.aggregator.local_update(client, received, stack([state["algorithm"] for state in states]))
        return flatten_message(message), [{} for _ in states]


@dataclass
class LossTask:
    """The loss of a model on the clients' training data, for samplers that choose by it: of the received one, or where
    `models` is given, of the one that each client would use. No state changes."""

    models: UsedModels | None = None

    def __call__(
        self, client: ChunkClient, received: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        if self.models is None:
            model = received["model"]
        else:
            model = self.models(client, received, stack([state["algorithm"] for state in states]))
        return {"loss": client.loss(model)}, [{} for _ in states]
