"""How much each message counts in a mean: by its client's samples, equally, or by a weight that it carries."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import get_args

import torch
from torch import Tensor

from fedlit.aggregators.base import Weighting
from fedlit.errors import InputError
from fedlit.messages.wire import Wire

OTHER_KEYS = "*"  # in a weighting: the keys that it does not name
WORDS = get_args(Weighting)  # the other values of a weighting are keys of the message


def carried_weights(weighting: Mapping[str, str]) -> dict[str, str]:
    """The part of a weighting that names weights in the message: key -> key of its weight."""
    return {key: weight for key, weight in weighting.items() if weight not in WORDS}


def is_weight(weighting: Mapping[str, str], key: str) -> bool:
    """Whether a key of the wire is a weight of others.

    >>> is_weight({"delta": "w"}, "w.statistics"), is_weight({"delta": "w"}, "delta.weights")
    (True, False)
    """
    return any(key == weight or key.startswith(f"{weight}.") for weight in carried_weights(weighting).values())


def weighted_by(weighting: Mapping[str, str], key: str) -> str:
    """How the messages under a key of the wire are averaged: "examples", "uniform", or the key of their weight. A
    weight itself is summed, "uniform"."""
    return "uniform" if is_weight(weighting, key) else _choice(weighting, key)[0]


def message_weights(weighting: Mapping[str, str], key: str, wire: Wire, examples: Tensor) -> Tensor:
    """The weights of the messages under `key` of a wire: (K, 1, ..., 1), or of a shape that broadcasts to the value."""
    weighted_by, rest = _choice(weighting, key)
    if weighted_by == "examples":
        return examples
    if weighted_by == "uniform":
        return torch.ones_like(examples)
    weight = wire.get(f"{weighted_by}{rest}", wire.get(weighted_by))
    assert isinstance(weight, Tensor)  # see `check_weights`
    return weight.reshape(-1, *[1] * (wire[key].dim() - 1)) if weight.numel() == len(weight) else weight


def is_weighted_by_message(weighting: Mapping[str, str], key: str) -> bool:
    """Whether the messages under a key of the wire are weighed by a weight that they carry."""
    return _choice(weighting, key)[0] not in WORDS and not is_weight(weighting, key)


def check_weights(aggregator: str, weighting: Mapping[str, str], wire: Wire) -> None:
    """Refuse a wire (K, ...) whose weights are missing, or do not fit the values that they weigh.

    Raises:
        InputError: a weight is not sent, is no tensor, is negative, or does not broadcast to its value.
    """
    if not carried_weights(weighting):
        return
    for key, value in wire.items():
        if not is_weighted_by_message(weighting, key) or isinstance(value, list):
            continue
        name, rest = _choice(weighting, key)
        weight = wire.get(f"{name}{rest}", wire.get(name))
        if not isinstance(weight, Tensor):
            near = get_close_matches(name, [*WORDS, *wire], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"send {name}, (K, 1), or write {' or '.join(WORDS)}."
            raise InputError(
                f"{aggregator}: weighting of {key.removesuffix(rest)} is {name!r}, and the message that holds {key} "
                f"has no tensor of this name; {hint}"
            )
        if not _fits(weight, value):
            raise InputError(
                f"{aggregator}: {name} of the message has shape {tuple(weight.shape)} and weighs {key} of shape "
                f"{tuple(value.shape)}; send (K, 1), or a shape with as many axes that broadcasts to it."
            )
        if weight.is_complex() or bool((weight < 0).any()):
            kind = "complex" if weight.is_complex() else "negative for a client"
            raise InputError(
                f"{aggregator}: {name} of the message is {kind}, and it weighs {key} in a mean; send numbers from 0 on."
            )


def _fits(weight: Tensor, value: Tensor) -> bool:
    if weight.numel() == len(weight):
        return True
    sizes = zip(weight.shape, value.shape, strict=False)
    return weight.dim() == value.dim() and all(size in (1, full) for size, full in sizes)


def _choice(weighting: Mapping[str, str], key: str) -> tuple[str, str]:
    """What the weighting says of a key of the wire, and the part of the key below the one that it names."""
    named = key
    while named not in weighting:
        named, dot, _ = named.rpartition(".")
        if not dot:
            return weighting.get(OTHER_KEYS, "examples"), ""
    return weighting[named], key[len(named) :]
