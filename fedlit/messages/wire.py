"""The wire format of a message: a flat dict of tensors. Their bytes are counted as traffic."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fedlit.model_vectors import Model

Wire = dict[str, Tensor]


def flatten_message(message: dict[str, Any]) -> Wire:
    """The wire of a message: a Model under `key` becomes `key.weights` and `key.statistics`, a dict `key.<its keys>`.

    >>> import torch
    >>> flatten_message({"delta": Model(torch.ones(1, 2), torch.zeros(1, 0)), "steps": torch.ones(1, 1)}).keys()
    dict_keys(['delta.weights', 'delta.statistics', 'steps'])
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
    """The reverse of `flatten_message`, except that dicts within a message stay flat."""
    models = {k.removesuffix(".statistics") for k in wire if k.endswith(".statistics")}
    parts = {f"{m}.{part}" for m in models for part in ("weights", "statistics")}
    message: dict[str, Any] = {m: Model(wire[f"{m}.weights"], wire[f"{m}.statistics"]) for m in sorted(models)}
    return message | {k: v for k, v in wire.items() if k not in parts}


def num_bytes(wire: Wire) -> int:
    """The bytes of all tensors together."""
    return sum(t.numel() * t.element_size() for t in wire.values())
