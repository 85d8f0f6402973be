"""Stages, reductions, samplers and an algorithm that fedlit does not ship, written as a user would for a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fedlit.aggregators import FedAvg
from fedlit.aggregators.base import Message, State
from fedlit.client import Client
from fedlit.messages.reductions import All, Mean, Reduced
from fedlit.messages.sent import Sent
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire, unflatten_message
from fedlit.samplers import Probe, Sampler


class PartialWork(FedAvg):
    """Another number of epochs for each client, in a tensor on the device; client 0 has none."""

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        fitted = client.fit(received["model"], epochs=client.number % 3)
        return {"delta": fitted.model - received["model"]}, state


class Clip(Stage):
    """Messages of a bounded norm, under equal weights."""

    uniform: ClassVar[bool] = True

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        return {key: t * (1 / (t.norm(dim=-1, keepdim=True) + 1)).clamp(max=1) for key, t in wire.items()}, state


class Residual(Stage):
    """Half precision; what it loses is kept with the client and added to its next message."""

    decodes: ClassVar[bool] = True

    def state(self, client: Client, wire: Wire) -> dict[str, Any]:
        return {key: torch.zeros_like(t) for key, t in wire.items()}

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        full = {key: t + state[key] for key, t in wire.items()}
        sent = {key: t.half() for key, t in full.items()}
        return sent, {key: full[key] - t.double() for key, t in sent.items()}

    def decode(self, wire: Wire, sent: Sent) -> Wire:
        return {key: t.double() for key, t in wire.items()}


class Noise(Stage):
    """Keyed draws of each client."""

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        return {key: t + 1e-3 * client.draw("normal", f"noise {key}", t) for key, t in wire.items()}, state


class Large(Stage):
    """The entries above the mean size and where they are: lists of rows of unequal lengths."""

    decodes: ClassVar[bool] = True

    def encode(self, client: Client, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        sent: Wire = {}
        for key, value in wire.items():
            masks = [row.abs() >= row.abs().mean() for row in value]
            sent[key] = [row[mask] for row, mask in zip(value, masks, strict=True)]
            sent[f"{key}.mask"] = torch.stack(masks)
        return sent, state

    def decode(self, wire: Wire, sent: Sent) -> Wire:
        keys = [key for key in wire if not key.endswith(".mask")]
        return {key: torch.stack(list(map(_dense, wire[f"{key}.mask"], wire[key]))) for key in keys}


def _dense(mask: Tensor, values: Tensor) -> Tensor:
    return torch.zeros(len(mask), dtype=values.dtype, device=values.device).masked_scatter(mask, values)


class Blind(Mean):
    """The server sees sums only."""

    blind: ClassVar[bool] = True

    def encode(self, client: Client, wire: Wire, weighting: Any) -> Wire:
        return {key: t + 0 for key, t in wire.items()}


class Median(All):
    """The median of each entry, of all messages."""

    def finish(self) -> Reduced:
        wires = {key: torch.cat([wire[key] for wire in self._wires]) for key in (self._wires or [{}])[0]}
        return Reduced(unflatten_message({key: t.median(0).values for key, t in wires.items()}))


class Highest(Sampler):
    """Asks the two clients of the highest losses."""

    def __call__(self, round_number: int, rng: np.random.Generator, clients: int, probe: Probe) -> Sequence[int]:
        return [int(client) for client in np.argsort(probe(range(clients)))[-2:]]

    def expected(self, clients: int) -> float:
        return 2.0
