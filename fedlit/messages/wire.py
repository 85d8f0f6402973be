"""The wire format of a message: a flat dict of tensors. Their bytes are counted as traffic.

A value is a tensor (K, ...), a row a client. Where the rows of K clients have unequal lengths, as under a stage that
sends the entries above a threshold, it is a list of K tensors. So no padding is counted, and the bytes of a client do
not depend on the other clients of its chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fedlit.errors import InputError
from fedlit.model_vectors import Model

Wire = dict[str, Any]
"""Key -> a tensor (K, ...), or a list of K tensors."""


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
    """The reverse of `flatten_message`, except that dicts within a message stay flat, and a Model with an encoded
    part."""
    models = {k.removesuffix(".statistics") for k in wire if k.endswith(".statistics")}
    models = {model for model in models if f"{model}.weights" in wire}
    parts = {f"{m}.{part}" for m in models for part in ("weights", "statistics")}
    message: dict[str, Any] = {m: Model(wire[f"{m}.weights"], wire[f"{m}.statistics"]) for m in sorted(models)}
    return message | {k: v for k, v in wire.items() if k not in parts}


def num_bytes(wire: Wire) -> int:
    """The bytes of all tensors together.

    >>> num_bytes({"sent": [torch.zeros(2), torch.zeros(5)], "scale": torch.zeros(2, 1)})
    36
    """
    tensors = [t for value in wire.values() for t in (value if isinstance(value, list) else [value])]
    return sum(t.numel() * t.element_size() for t in tensors)


def select_rows(value: Any, rows: Sequence[int]) -> Any:
    """The rows of these clients: of a tensor (K, ...), or of a list of K tensors."""
    return [value[r] for r in rows] if isinstance(value, list) else value[list(rows)]


def selected(wire: Wire, rows: Sequence[int]) -> Wire:
    """The rows of these clients, under each key."""
    return {key: select_rows(value, rows) for key, value in wire.items()}


SHAPE = ".shape"
"""After a key: a part without bytes, whose rows have the shape and the type of the key's rows."""


def without_elements(value: Any) -> Any:
    """The part `key.shape` of a value: (K, ..., 0) for a tensor (K, ...), and likewise for a list of rows."""
    if isinstance(value, list):
        return [row.new_empty(*row.shape, 0) for row in value]
    return value.new_empty(*value.shape, 0)


def joined_rows(rows: list[Any], like: Any) -> Any:
    """Rows of K clients as a tensor (K, ...), or as a list where `like` is one."""
    return rows if isinstance(like, list) else torch.stack(rows)


def copied(wire: Wire) -> Wire:
    """A copy of the wire and of its tensors."""
    return {key: [t.clone() for t in v] if isinstance(v, list) else v.clone() for key, v in wire.items()}


def check_rows(wire: Wire, k: int, origin: str, what: str = "the message") -> None:
    """
    Args:
        origin, what: what made the wire, and what it is, for the sentence.

    Raises:
        InputError: a value is no tensor (k, ...) and no list of k tensors.
    """
    for key, value in wire.items():
        tensors = value if isinstance(value, list) else [value]
        for t in tensors:
            if not torch.is_tensor(t) or t.layout is not torch.strided:
                kind = f"sparse tensor ({t.layout})" if torch.is_tensor(t) else type(t).__name__
                raise InputError(
                    f"{origin}: {key} of {what} holds a {kind}; send dense tensors, or a list of {k} of them"
                )
        if isinstance(value, list):
            if len(value) != k:
                raise InputError(
                    f"{origin}: {key} of {what} is a list of {len(value)} tensors: it needs one for each of {k} clients"
                )
        elif value.shape[:1] != (k,):
            raise InputError(
                f"{origin}: {key} of {what} has shape {tuple(value.shape)}: its first axis has to be the {k} clients"
            )
