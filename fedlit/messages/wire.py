"""A message as it travels: a flat dict of tensors, a Model under two names. The bytes of these tensors are counted."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fedlit.model_vectors import Model

Wire = dict[str, Tensor]


def flatten_message(message: dict[str, Any]) -> Wire:
    """A message as it travels.

    A Model under `key` becomes `key.weights` and `key.statistics`, a dict becomes `key.<its keys>`.
    """
    wire: Wire = {}
    for key, value in message.items():
        if isinstance(value, Model):
            wire |= {f"{key}.weights": value.weights, f"{key}.statistics": value.statistics}
        elif isinstance(value, dict):
            wire |= {f"{key}.{name}": t for name, t in flatten_message(value).items()}
        else:
            wire[key] = value
    return wire


def unflatten_message(wire: Wire) -> dict[str, Any]:
    """The message that `flatten_message` made a wire of (dicts within a message stay flat)."""
    models = {k.removesuffix(".statistics") for k in wire if k.endswith(".statistics")}
    parts = {f"{m}.{part}" for m in models for part in ("weights", "statistics")}
    message: dict[str, Any] = {m: Model(wire[f"{m}.weights"], wire[f"{m}.statistics"]) for m in sorted(models)}
    return message | {k: v for k, v in wire.items() if k not in parts}


def num_bytes(wire: Wire) -> int:
    """Bytes of all tensors, whatever axes they have."""
    return sum(t.numel() * t.element_size() for t in wire.values())
