"""What all stages share that encode each vector of a message by itself, with or without error feedback."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.sent import Sent
from fedlit.messages.stages.keyed_stage import KeyedStage
from fedlit.messages.stages.stage_client import StageClient
from fedlit.messages.wire import SHAPE, Wire, without_elements


class Compression(KeyedStage, ABC):
    """Encodes vectors x (K, n) as parts C(x), which the server restores.

    With error feedback a client keeps what its messages have lost, e = 0 at first. It sends C(x + e), and keeps
    e <- x + e - restored(C(x + e)). A client that is not asked keeps its e until it is asked again.

    `key.shape` (K, ..., 0) has the shape and the type of the vectors, and neither elements nor bytes: the server of a
    real federation knows both.

    Args:
        keys: see `KeyedStage`.
        feedback: error feedback.
    """

    decodes: ClassVar[bool] = True

    parts: ClassVar[tuple[str, ...]] = ()
    """Names of the parts that `compress` returns."""

    def __init__(self, keys: Sequence[str] | None = None, feedback: bool = False):
        super().__init__(keys)
        self.feedback = feedback

    @abstractmethod
    def compress(self, client: StageClient, key: str, vector: Tensor) -> Wire:
        """The parts (K, ...) of vectors (K, n), by name."""

    @abstractmethod
    def restore(self, parts: Wire, key: str, size: int, source: StageClient | Sent) -> Tensor:
        """The vectors (K, n) of parts (K, ...).

        Args:
            size: n.
            source: the clients whose parts they are, as client or server sees them.
        """

    def state(self, client: StageClient, wire: Wire) -> dict[str, Any]:
        if not self.feedback:
            return {}
        return {_residual(key): torch.zeros_like(wire[key]) for key in self.chosen_keys(client.stage, wire)}

    def encode(self, client: StageClient, wire: Wire, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        keys = self.chosen_keys(client.stage, wire)
        self._check_others(client.stage, wire)
        wire, state = dict(wire), dict(state)
        for key in keys:
            value = wire.pop(key)
            vector = value + state[_residual(key)] if self.feedback else value
            vector = vector.flatten(1)
            parts = self.compress(client, key, vector)
            if self.feedback:
                restored = self.restore(parts, key, vector.shape[1], client).to(vector.dtype)
                state[_residual(key)] = (vector - restored).reshape(value.shape)
            wire |= {f"{key}.{name}": part for name, part in parts.items()}
            wire[f"{key}{SHAPE}"] = without_elements(value)
        return wire, state

    def decode(self, wire: Wire, sent: Sent) -> Wire:
        wire = dict(wire)
        for key in self._encoded_keys(wire):
            like = wire.pop(f"{key}{SHAPE}")
            shape = like.shape[:-1]
            parts = {name: wire.pop(f"{key}.{name}") for name in self.parts}
            wire[key] = self.restore(parts, key, math.prod(shape[1:]), sent).to(like.dtype).reshape(shape)
        return wire

    def _encoded_keys(self, wire: Wire) -> list[str]:
        """The keys that this stage has encoded."""
        ends = [f".{name}" for name in (*self.parts, "shape")]
        keys = [name.removesuffix(SHAPE) for name in wire if name.endswith(SHAPE)]
        keys = [key for key in keys if all(f"{key}{end}" in wire for end in ends)]
        if self.keys is None:
            return keys
        return [key for key in keys if key in self.keys or key.removesuffix(".weights") in self.keys]

    def _check_others(self, stage: str, wire: Wire) -> None:
        """Refuse a second stage of the same kind that names no keys: the server could not tell their parts apart."""
        encoded = self._encoded_keys(wire)
        if encoded:
            raise InputError(
                f"uplink.{stage}: another stage has already made {type(self).__name__} of {encoded[0]}; name other "
                f"keys by uplink.{stage}.keys, or leave one of the two out."
            )


def _residual(key: str) -> str:
    return f"residual.{key}"
