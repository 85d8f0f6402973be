"""The path of a message from client to server, both halves side by side.

client   message -> [unpack, if the reduction is blind] -> encode, stage by stage -> encode of the reduction -> wire
server   wire -> decode, stage by stage in reverse order -> [unpack, if the client did not] -> the reduction

Messages that are not finite never reach the reduction: clients report their own (`Sent.faults`), and the server refuses
those that are not finite after `decode` and `unpack`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fedlit.aggregators.base import Aggregator
from fedlit.client import Client, ClientState
from fedlit.errors import InputError
from fedlit.messages.finite import check_reduced, finite_rows, first_not_finite
from fedlit.messages.reductions import Reduction
from fedlit.messages.stages import Stage
from fedlit.messages.weights import check_weights
from fedlit.messages.wire import Wire, check_rows, copied, flatten_message, select_rows, unflatten_message
from fedlit.model_vectors import stack, unstack
from fedlit.round import Round
from fedlit.server_round import ServerRound

log = logging.getLogger(__name__)


@dataclass
class Sent:
    """What K clients send."""

    wire: Wire  # (K, ...)
    stages: list[dict[str, Any]]  # K dicts of the stages' new states, by name
    faults: list[str]  # K: the key under which a message is not finite before the reduction's half; empty if it is


@dataclass(frozen=True)
class Pipeline:
    """The stages and the reduction of a run. It holds hyperparameters only and is pickled to the clients."""

    aggregator: Aggregator
    uplink: Mapping[str, Stage]  # by name, in the order in which a message passes them
    reduction: Reduction
    weighting: dict[str, str]  # key of a message -> "examples", "uniform", or the key of its weight

    def send(self, client: Client, message: dict[str, Any], states: Sequence[ClientState]) -> Sent:
        """The clients' half, for K clients with their states. Stages get copies: one that changes its wire in place
        changes neither the client's state nor what is measured of its model.

        Raises:
            InputError: a result is no wire of K clients.
        """
        if self.reduction.blind:
            message = self._unpacked_by_clients(message, client.round)
        wire = flatten_message(message)
        k = len(states)
        check_rows(wire, k, f"local_update of {self.aggregator}")
        if self.reduction.blind:
            check_weights(str(self.aggregator), self.weighting, wire)
        faults = first_not_finite(wire, k)
        new_states: list[dict[str, Any]] = [{} for _ in states]
        for name, stage in self.uplink.items():
            initial = unstack(stage.state(client, wire), k)
            before = [state.get("stages", {}).get(name) or first for state, first in zip(states, initial, strict=True)]
            wire, after = stage.encode(client, copied(wire), stack(before))
            for state, stage_state in zip(new_states, unstack(after, k), strict=True):
                state[name] = stage_state
            check_rows(wire, k, f"encode of uplink.{name}")
            encoded_faults = [key and f"{key} after uplink.{name}" for key in first_not_finite(wire, k)]
            faults = [earlier or fault for earlier, fault in zip(faults, encoded_faults, strict=True)]
        wire = self.reduction.encode(client, wire, self.weighting)
        check_rows(wire, k, f"encode of {type(self.reduction).__name__}")
        return Sent(wire, new_states, faults)

    def _unpacked_by_clients(self, message: dict[str, Any], round: Any) -> dict[str, Any]:
        """Under a blind reduction, with the round as clients know it."""
        try:
            return self.aggregator.unpack(message, round)
        except AttributeError as error:
            if not isinstance(error.obj, Round) or isinstance(error.obj, ServerRound):
                raise
            raise InputError(
                f"unpack of {self.aggregator} reads round.{error.name}, which only the server knows, and under "
                f"{type(self.reduction).__name__} the clients call unpack; send what it needs in the message, or "
                "choose another reduction."
            ) from error

    def inbox(self, round: ServerRound) -> Inbox:
        """The server's half for one round."""
        return Inbox(self, round)


@dataclass
class Received:
    """A chunk of messages as it reached the reduction."""

    rows: list[int]  # of the messages that are finite
    decoded: Wire | None  # these messages before `unpack`; None if the reduction is blind
    refusals: list[str]  # a sentence for each of the other messages


class Inbox:
    """Decodes, unpacks and reduces the messages of one round, chunk by chunk, as they arrive."""

    def __init__(self, pipeline: Pipeline, round: ServerRound):
        self.pipeline, self.round = pipeline, round
        self.reduction = pipeline.reduction.start(pipeline.weighting, round)
        stages = reversed(list(pipeline.uplink.items()))
        self._decoding = {name: stage for name, stage in stages if type(stage).decode is not Stage.decode}
        self._keys: set[str] = set()  # of the messages that were reduced
        self._row_shapes: dict[str, torch.Size] = {}  # of the tensors that travel, by key
        self._in_stacks = False  # messages of several clients came as one tensor
        self._warned = False

    def add(self, clients: list[int], wire: Wire, examples: Tensor) -> Received:
        """Add a chunk of messages (K, ...), with the clients' numbers of training samples (K, 1), and the clients to
        `round.arrived`. Messages that are not finite after `decode` or `unpack` are refused.

        Raises:
            InputError: a result of `decode` or `unpack` is no wire of K clients, or a weight that the messages carry is
                missing or is no weight.
        """
        if not clients:
            return Received([], None, [])
        self._warn_of_padding(wire)
        if self.reduction.blind:
            self._reduce(clients, wire, examples)
            return Received(list(range(len(clients))), None, [])
        forms: dict[str, Wire] = {}  # what made it -> the messages in a form that the clients have not checked
        if type(self.reduction).encode is not Reduction.encode:
            forms[f"encode of {type(self.reduction).__name__}"] = wire
        decoded = wire
        for name, stage in self._decoding.items():
            decoded = forms[f"decode of uplink.{name}"] = stage.decode(copied(decoded))
            check_rows(decoded, len(clients), f"decode of uplink.{name}")
        aggregator = self.pipeline.aggregator
        message = flatten_message(self._unpacked(clients, unflatten_message(decoded)))
        if type(aggregator).unpack is not Aggregator.unpack:
            forms[f"unpack of {aggregator}"] = message
            check_rows(message, len(clients), f"unpack of {aggregator}")
        refusals = self._refusals(clients, forms)
        rows = [r for r in range(len(clients)) if r not in refusals]
        if refusals:
            clients, examples = [clients[r] for r in rows], examples[rows]
            decoded, message = ({k: select_rows(v, rows) for k, v in w.items()} for w in (decoded, message))
        if rows:
            check_weights(str(aggregator), self.pipeline.weighting, message)
            self._reduce(clients, message, examples)
        return Received(rows, decoded, list(refusals.values()))

    def _unpacked(self, clients: list[int], message: dict[str, Any]) -> dict[str, Any]:
        """`unpack` gets the round in which these clients have arrived, and no others: how many came before them depends
        on the chunks."""
        round = replace(self.round, arrived=list(clients))
        unpacked = self.pipeline.aggregator.unpack(message, round)
        self.round.server_lr_was_read |= round.server_lr_was_read
        return unpacked

    def _reduce(self, clients: list[int], message: Wire, examples: Tensor) -> None:
        self.round.arrived += clients
        self._keys |= message.keys()
        self.reduction.add(clients, message, examples)

    def _refusals(self, clients: list[int], forms: dict[str, Wire]) -> dict[int, str]:
        """Row -> a sentence, for each message that is not finite in the last of these forms."""
        k, last = len(clients), next(reversed(forms.values()), {})
        if bool(finite_rows(last.values(), k).all()):
            return {}
        faults = {origin: first_not_finite(form, k) for origin, form in forms.items()}
        refusals = {}
        for r, key in enumerate(first_not_finite(last, k)):
            if key:
                origin = next(origin for origin, keys in faults.items() if keys[r])
                refusals[r] = (
                    f"client {clients[r]}, round {self.round.number}: its message has NaN or infinite values in {key} "
                    f"after {origin}"
                )
        return refusals

    def _warn_of_padding(self, wire: Wire) -> None:
        """Warn once a round where tensors with rows of several lengths come from several clients at a time: the shorter
        rows were padded, and the padding is counted."""
        tensors = {key: value for key, value in wire.items() if not isinstance(value, list)}
        self._in_stacks |= any(len(value) > 1 for value in tensors.values())
        shapes = {key: value.shape[1:] for key, value in tensors.items()}
        differ = [key for key, shape in shapes.items() if self._row_shapes.setdefault(key, shape) != shape]
        if differ and self._in_stacks and not self._warned:
            self._warned = True
            log.warning(
                "round %d: rows of several lengths come under %s of the messages, so comm/bytes_up counts padding and "
                "depends on the chunks; let the stage send a list of K tensors, one a client",
                self.round.number,
                differ[0],
            )

    def reduced(self) -> dict[str, Any]:
        """The reduced message; empty if nothing arrived.

        Raises:
            InputError: it is not finite, although each message is.
        """
        reduced = self.reduction.finish()
        check_reduced(flatten_message(reduced), self._keys, type(self.reduction).__name__, self.round.number)
        return reduced
