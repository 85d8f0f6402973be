"""The server's half of a round: messages are decoded, unpacked and reduced, chunk by chunk, as they arrive."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from fedlit.aggregators.base import Aggregator
from fedlit.errors import InputError
from fedlit.messages.finite import NOT_FINITE, check_reduced, finite_rows, first_not_finite
from fedlit.messages.pipeline import Pipeline, decoded_wire
from fedlit.messages.reductions import Asked, Mean, Protocol, Reduction
from fedlit.messages.reductions.protocol import check_asked
from fedlit.messages.sent import Sent
from fedlit.messages.stages import Stage
from fedlit.messages.weights import check_weights
from fedlit.messages.wire import SHAPE, Wire, check_rows, flatten_message, selected, unflatten_message
from fedlit.metric_names import Row, reduction_metric, uplink_metric
from fedlit.server_round import ServerRound

log = logging.getLogger(__name__)


@dataclass
class Received:
    """A chunk of messages as it reached the reduction."""

    rows: list[int]  # of the messages that are reduced
    decoded: Wire | None  # these messages before `unpack`; None where the server sees no single message
    refusals: list[str]  # a sentence for each of the other messages


@dataclass
class ReducedRound:
    """The messages of a round, reduced."""

    message: dict[str, Any]  # for the algorithm; empty if nothing arrived
    state: dict[str, Any]  # what the server keeps for stages and reduction from now on
    row: Row = field(default_factory=dict)  # reports of stages and reduction
    excluded: Sequence[int] | None = None  # clients whose messages have no part in the message


class Inbox:
    """
    Args:
        state: what the server keeps for stages and reduction (`Pipeline.server_state`).
    """

    def __init__(self, pipeline: Pipeline, round: ServerRound, state: dict[str, Any]):
        self.pipeline, self.round, self.state = pipeline, round, state
        self.reduction = pipeline.reduction.start(pipeline.weighting, round, state["reduction"])
        self._keys: set[str] = set()  # of the messages that were reduced
        self._row_shapes: dict[str, torch.Size] = {}  # of the tensors that travel, by key
        self._reduced_shapes: dict[str, tuple[tuple[int, ...], int]] = {}  # of a row, by key, and whose row it is
        self._in_stacks = False  # messages of several clients came as one tensor
        self._warned = False
        self._means: list[Wire] = []  # of the trips that are over

    def add(self, clients: list[int], wire: Wire, examples: Tensor, refusals: Sequence[str] = ()) -> Received:
        """Add a chunk of messages (K, ...), with the clients' numbers of training samples (K, 1), and the clients to
        `round.arrived`. Messages that are not finite after their stages, `decode` or `unpack` are refused.

        Args:
            refusals: K: why a client sends no message, as it says; empty strings elsewhere.

        Raises:
            InputError: a result of `decode` or `unpack` is no wire of K clients, or a weight that the messages carry is
                missing or is no weight.
        """
        if not clients:
            return Received([], None, [])
        self._warn_of_padding(wire)
        refused = {r: self._sentence(clients[r], why) for r, why in enumerate(refusals) if why}
        rows = [r for r in range(len(clients)) if r not in refused]
        if refused:
            wire = selected(wire, rows)
        if self.pipeline.clients_unpack:
            self._reduce([clients[r] for r in rows], wire, examples[rows])
            return Received(rows, None, list(refused.values()))
        decoded, message = wire, wire
        if rows:
            rows, decoded, message = self._opened(clients, rows, wire, refused)
        if rows:
            check_weights(str(self.pipeline.aggregator), self.pipeline.weighting, message)
            self._reduce([clients[r] for r in rows], message, examples[rows])
        return Received(rows, decoded, list(refused.values()))

    def _opened(
        self, clients: list[int], rows: list[int], wire: Wire, refused: dict[int, str]
    ) -> tuple[list[int], Wire, Wire]:
        """The messages of these rows, decoded, and also unpacked, without those that are refused, which are added to
        `refused`."""
        forms: dict[str, Wire] = {}  # what made it -> the messages in a form that the clients have not checked
        if type(self.pipeline.reduction).encode is not Reduction.encode:
            forms[f"encode of {type(self.reduction).__name__}"] = wire
        sent = Sent([clients[r] for r in rows], self.round, self.pipeline.layout)
        kept, after_stages = decoded_wire(self.pipeline.uplink, wire, sent, self.state["uplink"])
        for r, why in sent.refusals.items():
            refused[rows[r]] = self._sentence(clients[rows[r]], why)
        if len(kept) < len(rows):
            rows, wire = [rows[r] for r in kept], selected(wire, kept)
            forms = {origin: selected(form, kept) for origin, form in forms.items()}
        forms |= after_stages
        decoded = next(reversed(after_stages.values()), wire)
        if not rows:
            return rows, decoded, decoded
        numbers, aggregator = [clients[r] for r in rows], self.pipeline.aggregator
        added = {key for stage in self.pipeline.uplink.values() for key in stage.adds}
        sent_message = {key: value for key, value in decoded.items() if key not in added}
        message = flatten_message(self._unpacked(numbers, unflatten_message(sent_message)))
        message |= {key: value for key, value in decoded.items() if key in added}
        if type(aggregator).unpack is not Aggregator.unpack:
            forms[f"unpack of {aggregator}"] = message
            check_rows(message, len(rows), f"unpack of {aggregator}")
        faults = self._faults(numbers, forms)
        if faults:
            refused |= {rows[r]: sentence for r, sentence in faults.items()}
            kept = [r for r in range(len(rows)) if r not in faults]
            rows, decoded, message = [rows[r] for r in kept], selected(decoded, kept), selected(message, kept)
        return rows, decoded, message

    def _unpacked(self, clients: list[int], message: dict[str, Any]) -> dict[str, Any]:
        """`unpack` gets the round in which these clients have arrived, and no others: how many came before them depends
        on the chunks."""
        round = replace(self.round, arrived=list(clients))
        unpacked = self.pipeline.aggregator.unpack(message, round)
        self.round.server_lr_was_read |= round.server_lr_was_read
        return unpacked

    def _reduce(self, clients: list[int], message: Wire, examples: Tensor) -> None:
        if clients:
            self._check_shapes(clients, message)
            self.round.arrived += clients
            self._keys |= message.keys()
            self.reduction.add(clients, message, examples)

    def _check_shapes(self, clients: list[int], message: Wire) -> None:
        """Refuse rows of other shapes than those of the clients before: in a sum, a single number would count for all
        of a longer row. Of a protocol, whose parts may have any lengths, the shapes are those of `key.shape`."""
        of_parts = isinstance(self.reduction, Protocol)
        for key, value in message.items():
            if isinstance(value, list) or (of_parts and not key.endswith(SHAPE)):
                continue
            shape = tuple(value.shape[1:-1] if of_parts else value.shape[1:])
            before, first = self._reduced_shapes.setdefault(key, (shape, clients[0]))
            if before != shape:
                raise InputError(
                    f"{self.pipeline.aggregator}: {key.removesuffix(SHAPE)} of client {clients[0]} has the shape "
                    f"{shape}, and that of client {first} {before}; clients have to send tensors of one shape, because "
                    "their messages become one."
                )

    def _faults(self, clients: list[int], forms: dict[str, Wire]) -> dict[int, str]:
        """Row -> a sentence, for each message that is not finite in the last of these forms."""
        k, last = len(clients), next(reversed(forms.values()), {})
        if bool(finite_rows(last.values(), k).all()):
            return {}
        faults = {origin: first_not_finite(form, k) for origin, form in forms.items()}
        sentences = {}
        for r, key in enumerate(first_not_finite(last, k)):
            if key:
                origin = next(origin for origin, keys in faults.items() if keys[r])
                sentences[r] = self._sentence(clients[r], f"{NOT_FINITE} {key} after {origin}")
        return sentences

    def _sentence(self, client: int, why: str) -> str:
        return f"client {client}, round {self.round.number}: {why}"

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

    # --- several trips ----------------------------------------------------------------------------
    def ask_again(self, answered: Sequence[int]) -> Asked:
        """End a trip: which of the clients that answered it are asked for the next one, and what they receive.

        Raises:
            InputError: `ask` of a protocol gives no `Asked` of these clients.
        """
        if isinstance(self.reduction, Protocol):
            asked = self.reduction.ask()
            check_asked(asked, answered, type(self.reduction).__name__)
            return asked
        self._end_trip()
        stage, server = self._trip_stage()
        asked = Asked(list(self.round.arrived), stage.ask(self._means, server))
        self.reduction = Mean().start(self.pipeline.weighting, self.round)
        return asked

    def answered(self, clients: list[int], wire: Wire, examples: Tensor, refusals: Sequence[str]) -> Received:
        """Add a chunk of messages of a later trip.

        Args:
            refusals: K: why a client sends no message, as it says; empty strings elsewhere.
        """
        refused = [self._sentence(client, why) for client, why in zip(clients, refusals, strict=True) if why]
        rows = [r for r, why in enumerate(refusals) if not why]
        if rows:
            self._keys |= wire.keys()
            self.reduction.add([clients[r] for r in rows], selected(wire, rows), examples[rows])
        return Received(rows, None, refused)

    def _end_trip(self) -> None:
        self._means.append(self._check(flatten_message(self.reduction.finish().message)))

    def _trip_stage(self) -> tuple[Any, dict[str, Any]]:
        name = next(reversed(self.pipeline.uplink))
        return self.pipeline.uplink[name], self.state["uplink"][name]

    # --- the end of the round ---------------------------------------------------------------------
    def reduced(self) -> ReducedRound:
        """The reduced message, and the new state of stages and reduction.

        Raises:
            InputError: it is not finite, although each message is.
        """
        if not self.round.arrived:
            return ReducedRound({}, self.state)
        if self.pipeline.trips > 1 and not isinstance(self.reduction, Protocol):
            self._end_trip()
            stage, server = self._trip_stage()
            message = unflatten_message(stage.means(self._means, server))
            reduction_state, row, excluded = self.state["reduction"], {}, None
        else:
            reduced = self.reduction.finish()
            reduction_state = self.state["reduction"] if reduced.state is None else reduced.state
            row = {reduction_metric(name): value for name, value in reduced.report.items()}
            if not reduced.message:
                return ReducedRound({}, self.state | {"reduction": reduction_state}, row, reduced.excluded)
            self._check(flatten_message(reduced.message))
            message, excluded = reduced.message, reduced.excluded
        stages = dict(self.state["uplink"])
        for name, stage in reversed(self.pipeline.uplink.items()):
            if type(stage).reduced is not Stage.reduced:
                wire, stages[name], report = stage.reduced(flatten_message(message), stages[name], self.round)
                message = unflatten_message(wire)
                row |= {uplink_metric(name, key): value for key, value in report.items()}
        state = self.state | {"uplink": stages, "reduction": reduction_state}
        return ReducedRound(message, state, row, excluded)

    def _check(self, message: Wire) -> Wire:
        check_reduced(message, self._keys, type(self.reduction).__name__, self.round.number)
        return message
