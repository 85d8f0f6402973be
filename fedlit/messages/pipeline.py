"""The way of a message from client to server, both halves side by side.

client   message -> [unpack, if the server sees no single messages] -> encode, stage by stage
         -> encode of the reduction, or `first` of a protocol
server   wire -> decode, stage by stage in reverse -> [unpack, if the client did not] -> the reduction -> `reduced`
         of each stage

Messages that are not finite never reach the reduction. Training that gave NaN is a failure of its client
(`Encoded.faults`); a message that is not finite after its stages, after `decode` or after `unpack` is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor

from fedlit.aggregators.base import Aggregator
from fedlit.client import Client, ClientState
from fedlit.errors import InputError
from fedlit.messages.finite import NOT_FINITE, first_not_finite
from fedlit.messages.reductions import Protocol, ProtocolClient, Reduction
from fedlit.messages.sent import Sent
from fedlit.messages.stages import Stage, StageClient
from fedlit.messages.weights import check_weights
from fedlit.messages.wire import Wire, check_rows, copied, flatten_message, num_bytes, selected
from fedlit.model_vectors import Layout, Model, stack, unstack
from fedlit.round import Round
from fedlit.server_round import ServerRound

STAGE_BROADCASTS = "broadcasts of stages"  # in the broadcast of a cohort: stage -> what its server half sends
ASKED = "asked of all"  # in the broadcast of a later trip: what every client receives
ASKED_OF_EACH = "asked of each"  # in its downloads: what each client receives alone
KEPT = "kept until the round ends"  # in a client's state: what it keeps from trip to trip


@dataclass
class Encoded:
    """What K clients send."""

    wire: Wire  # (K, ...)
    stages: list[dict[str, Any]]  # K dicts of the stages' new states, by name
    kept: list[dict[str, Any]]  # K: what the clients keep for the next trip of a protocol; empty without one
    faults: list[str]  # K: the key under which the algorithm's message is not finite; empty if it is
    refusals: list[str]  # K: why a message is not sent: it is not finite after a stage, or against the protocol's rules
    notes: dict[str, Tensor]  # `<stage>/<name>` -> (K,), see `StageClient.note`


@dataclass(frozen=True)
class Pipeline:
    """The stages and the reduction of a run. It holds hyperparameters only and is pickled to the clients."""

    aggregator: Aggregator
    uplink: dict[str, Stage]  # by name, in the order in which a message passes them
    reduction: Reduction
    weighting: dict[str, str]  # key of a message -> "examples", "uniform", or the key of its weight
    layout: Layout | None = field(default=None, compare=False)  # on the server; clients have that of their module

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"layout": None}

    @property
    def last_stage(self) -> Stage | None:
        return next(reversed(self.uplink.values()), None)

    @property
    def trips(self) -> int:
        """Messages of a client in one round."""
        return max(self.reduction.trips, 1 if self.last_stage is None else self.last_stage.trips)

    @property
    def message_trip(self) -> int:
        """The trip after which a client that is lost has arrived nevertheless: its message is in the sum."""
        return self.reduction.message_trip if isinstance(self.reduction, Protocol) else self.trips

    @property
    def clients_unpack(self) -> bool:
        """Whether the clients call `unpack`, because the server sees no single message."""
        return self.reduction.blind or self.trips > 1

    def setup(self, layout: Layout, clients: int) -> None:
        for stage in self.uplink.values():
            stage.setup(layout, clients)
        self.reduction.setup(layout, clients)

    def server_state(self, model: Model) -> dict[str, Any]:
        """What the server keeps for stages and reduction before the first round."""
        stages = {name: stage.server_state(model) for name, stage in self.uplink.items()}
        return {"uplink": stages, "reduction": self.reduction.server_state(model)}

    def broadcast(self, state: dict[str, Any]) -> dict[str, Wire]:
        """What the server's halves of the stages send to every client, by stage."""
        sent = {name: stage.broadcast(state["uplink"][name]) for name, stage in self.uplink.items()}
        return {name: wire for name, wire in sent.items() if wire}

    def broadcast_bytes(self, sent: dict[str, Wire]) -> int:
        """The bytes of what `broadcast` gave, for one client. What malicious clients know has not travelled."""
        return sum(num_bytes(wire) for name, wire in sent.items() if self.uplink[name].place != "attack")

    def with_broadcasts(self, broadcast: dict[str, Any], of_stages: dict[str, Wire]) -> dict[str, Any]:
        """What the clients of a cohort that trains receive: the algorithm's broadcast, and those of the stages."""
        return broadcast | ({STAGE_BROADCASTS: of_stages} if of_stages else {})

    def send(
        self,
        client: Client,
        message: dict[str, Any],
        states: Sequence[ClientState],
        received: Mapping[str, Wire] | None = None,
    ) -> Encoded:
        """The clients' half, for K clients with their states. Stages get copies: one that changes its wire in place
        changes neither the client's state nor what is measured of its model.

        Args:
            received: what `broadcast` gave, without axis K.

        Raises:
            InputError: a result is no wire of K clients.
        """
        if self.clients_unpack:
            message = self._unpacked_by_clients(message, client.round)
        wire = flatten_message(message)
        k = len(states)
        check_rows(wire, k, f"local_update of {self.aggregator}")
        if self.clients_unpack:
            check_weights(str(self.aggregator), self.weighting, wire)
        faults = first_not_finite(wire, k)
        new_states: list[dict[str, Any]] = [{} for _ in states]
        after_stages: dict[str, Wire] = {}
        notes: dict[str, Tensor] = {}
        first_wire = wire
        for name, stage in self.uplink.items():
            stage_client = self.stage_client(client, name, (received or {}).get(name, {}))
            initial = unstack(stage.state(stage_client, wire), k)
            before = [state.get("stages", {}).get(name) or first for state, first in zip(states, initial, strict=True)]
            try:
                encoded, after = stage.encode(stage_client, copied(wire), stack(before))
            except KeyError as error:
                if error.args[:1] and error.args[0] in first_wire and error.args[0] not in wire:
                    raise InputError(
                        f"uplink.{name} takes {error.args[0]}, which an earlier stage has encoded: the message that "
                        f"reaches it has {', '.join(wire)}; let its encode take one of these, or leave out one of the "
                        "stages."
                    ) from error
                raise
            wire = encoded
            for state, stage_state in zip(new_states, unstack(after, k), strict=True):
                state[name] = stage_state
            check_rows(wire, k, f"encode of uplink.{name}")
            after_stages[name] = wire
            notes |= {f"{name}/{key}": values for key, values in stage_client.notes.items()}
        refusals = _first_stage_not_finite(after_stages, k)
        kept: list[dict[str, Any]] = [{} for _ in states]
        if isinstance(self.reduction, Protocol):
            protocol_client = ProtocolClient(client.number, client.examples, client.round)
            wire, kept_rows = self.reduction.first(protocol_client, wire, self.weighting)
            refusals = [why or protocol_client.refusals.get(r, "") for r, why in enumerate(refusals)]
            check_rows(wire, k, f"first of {type(self.reduction).__name__}")
            check_rows(kept_rows, k, f"first of {type(self.reduction).__name__}", "what clients keep")
            kept = unstack(kept_rows, k)
        else:
            wire = self.reduction.encode(client, wire, self.weighting)
            check_rows(wire, k, f"encode of {type(self.reduction).__name__}")
        return Encoded(wire, new_states, kept, faults, refusals, notes)

    def stage_client(self, client: Client, name: str, received: Wire, trip: int = 1) -> StageClient:
        """The clients as the stage of this name sees them."""
        layout: Any = getattr(client, "layout", self.layout)
        stage = name if trip == 1 else f"{name} trip {trip}"
        return StageClient(client, stage, layout, received, partial(self._decoded_by_clients, client, name))

    def _decoded_by_clients(self, client: Client, name: str, wire: Wire) -> Wire:
        """A wire as it was before the stages that precede the one of this name."""
        names = list(self.uplink)
        for before in reversed(names[: names.index(name)]):
            stage = self.uplink[before]
            if type(stage).decode is not Stage.decode:
                jobs = getattr(client, "jobs", None)  # numbers without a wait for the device
                numbers = [job.client for job in jobs] if jobs else client.number[:, 0].tolist()
                wire = stage.decode(copied(wire), Sent(numbers, client.round, getattr(client, "layout", None)))
        return wire

    def _unpacked_by_clients(self, message: dict[str, Any], round: Any) -> dict[str, Any]:
        """Where the server sees no single message, with the round as clients know it."""
        try:
            return self.aggregator.unpack(message, round)
        except AttributeError as error:
            if not isinstance(error.obj, Round) or isinstance(error.obj, ServerRound):
                raise
            means = type(self.reduction).__name__ if self.reduction.blind else f"uplink.{next(reversed(self.uplink))}"
            raise InputError(
                f"unpack of {self.aggregator} reads round.{error.name}, which only the server knows, and under "
                f"{means} the clients call unpack; send what it needs in the message, or choose another reduction."
            ) from error


def decoded_wire(
    uplink: dict[str, Stage], wire: Wire, sent: Sent, server: Mapping[str, Any]
) -> tuple[list[int], dict[str, Wire]]:
    """The server's half of the stages, without the refused rows.

    Args:
        wire: (K, ...).
        sent: whose messages they are; it gets the refusals, by row.
        server: what the server keeps for each stage, by name.

    Returns:
        The rows that remain, and what made it -> the messages after each stage, (remaining rows, ...).

    Raises:
        InputError: a result is no wire of these clients.
    """
    rows = list(range(len(sent.clients)))
    forms: dict[str, Wire] = {}
    for name, stage in reversed(uplink.items()):
        if type(stage).decode is Stage.decode or not rows:
            continue
        part = replace(sent, clients=[sent.clients[r] for r in rows], server=server.get(name, {}), refusals={})
        wire = stage.decode(copied(wire), part)
        check_rows(wire, len(rows), f"decode of uplink.{name}")
        if part.refusals:
            sent.refusals.update({rows[r]: f"uplink.{name}: {why}" for r, why in part.refusals.items()})
            kept = [r for r in range(len(rows)) if r not in part.refusals]
            rows, wire = [rows[r] for r in kept], selected(wire, kept)
            forms = {origin: selected(form, kept) for origin, form in forms.items()}
        forms[f"decode of uplink.{name}"] = wire
    return rows, forms


def _first_stage_not_finite(after_stages: dict[str, Wire], k: int) -> list[str]:
    """k strings that say in which key, after which stage, a client's message is first not finite; empty where it is."""
    if not after_stages:
        return [""] * k
    if not any(first_not_finite(next(reversed(after_stages.values())), k)):
        return [""] * k
    refusals = [""] * k
    for name, wire in after_stages.items():
        keys = first_not_finite(wire, k)
        refusals = [
            earlier or (key and f"{NOT_FINITE} {key} after uplink.{name}")
            for earlier, key in zip(refusals, keys, strict=True)
        ]
    return refusals
