"""What the clients of a round receive: the broadcast, encoded on the server and decoded on the clients; its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedlit.aggregators.base import State
from fedlit.errors import InputError
from fedlit.messages.downlink.base import DownlinkStage
from fedlit.messages.wire import Wire, flatten_message, num_bytes, unflatten_message
from fedlit.notices import warn
from fedlit.server_round import ServerRound


@dataclass
class Delivered:
    """
    Attributes:
        broadcast: as the clients decode it.
        num_bytes: to all clients of the round together.
        state: what the server keeps of the downlink from now on.
    """

    broadcast: State
    num_bytes: int
    state: dict[str, Any]


def downlink_state(downlink: dict[str, DownlinkStage], clients: int) -> dict[str, Any]:
    """What the server keeps of the downlink before the first round: `held`, for each incremental stage what the clients
    decoded last, and `version` (N,), the round in which each client received its last broadcast."""
    if not any(stage.incremental for stage in downlink.values()):
        return {}
    return {"held": {}, "sent_in": 0, "version": torch.full((clients,), -1, dtype=torch.int64)}


def deliver(
    downlink: dict[str, DownlinkStage], broadcast: State, state: dict[str, Any], round: ServerRound
) -> Delivered:
    """Encode the broadcast of a round, and decode it as its clients do.

    Raises:
        InputError: what a client decodes has other keys or shapes than the broadcast.
    """
    wire = flatten_message(broadcast)
    if not downlink:
        return Delivered(broadcast, num_bytes(wire) * len(round.cohort), state)
    if not wire:
        warn(
            "downlink: the stages have no effect in a round in which the algorithm broadcasts nothing; what single "
            "clients download is not encoded. Write 'downlink=[]', or another aggregator."
        )
    held: dict[str, Wire] = state.get("held", {})
    encoded = wire
    for name, stage in downlink.items():
        encoded = stage.encode(encoded, held.get(name, {}), round)
    received, new_held = encoded, {}
    for name, stage in reversed(downlink.items()):
        received = stage.decode(received, held.get(name, {}))
        if stage.incremental:
            new_held[name] = received
    _check_decoded(wire, received)
    if not state:
        return Delivered(_nested(broadcast, received), num_bytes(encoded) * len(round.cohort), state)
    version = state["version"].cpu()  # a checkpoint is loaded to the device of the run
    asked = torch.as_tensor(round.cohort, dtype=torch.int64)
    can_decode = len(round.cohort)  # all, in the first round: nothing was held when it was encoded
    if held:
        can_decode = int((version[asked] == state["sent_in"]).sum())
    total = can_decode * num_bytes(encoded) + (len(round.cohort) - can_decode) * num_bytes(received)
    new_state = {"held": new_held, "sent_in": round.number, "version": version.index_fill(0, asked, round.number)}
    return Delivered(_nested(broadcast, received), total, new_state)


def _check_decoded(wire: Wire, received: Wire) -> None:
    for key in sorted({*wire, *received}):
        before, after = wire.get(key), received.get(key)
        if before is None or after is None or before.shape != after.shape or before.dtype != after.dtype:
            raise InputError(
                f"downlink: {key} of the broadcast is {_kind(before)}, and after decode it is {_kind(after)}; let "
                "decode of the stage give what encode got."
            )


def _kind(value: Tensor | None) -> str:
    return "missing" if value is None else f"{value.dtype} of shape {tuple(value.shape)}"


def _nested(broadcast: State, received: Wire) -> State:
    """The received wire in the form of the broadcast, whose dicts may be nested."""

    def form(value: Any, path: str) -> Any:
        if isinstance(value, dict):
            return {key: form(part, f"{path}.{key}" if path else key) for key, part in value.items()}
        if torch.is_tensor(value):
            return received[path]
        return unflatten_message({f"m.{part}": received[f"{path}.{part}"] for part in ("weights", "statistics")})["m"]

    return {key: form(value, key) for key, value in broadcast.items()}
