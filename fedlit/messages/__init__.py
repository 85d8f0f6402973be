"""Messages from clients to the server: they pass an ordered mapping of stages, then one reduction."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import get_args

from fedlit.aggregators.base import Aggregator, Weighting
from fedlit.errors import InputError
from fedlit.messages.reductions import All, Mean, Reduction
from fedlit.messages.reductions.base import OTHER_KEYS
from fedlit.messages.stages import Stage

log = logging.getLogger(__name__)


def chosen_reduction(aggregator: Aggregator, uplink: Mapping[str, Stage], reduction: Reduction | None) -> Reduction:
    """The reduction of a run.

    Args:
        uplink: stages by name.
        reduction: the configured reduction; None: `Mean`, or `All` if the algorithm needs every message.

    Raises:
        InputError: the algorithm needs every message unchanged and a stage or the reduction would change it; the
            algorithm takes one message and `All` does not reduce; or the reduction is blind and a stage needs decoding.
    """
    if aggregator.needs_all:
        if uplink or (reduction is not None and type(reduction) is not All):  # a subclass may change or drop messages
            changing = list(uplink) or [type(reduction).__name__]
            raise InputError(
                f"{aggregator} needs every client's own message as it is, and {', '.join(changing)} may change or drop "
                "it; leave out the stages, and write reduction=null"
            )
        return reduction or All()
    if isinstance(reduction, All) and type(reduction).finish is All.finish:
        raise InputError(
            f"{aggregator} takes one reduced message, and {type(reduction).__name__} does not reduce; "
            "write reduction=null, or set needs_all = True in the algorithm's class"
        )
    reduction = reduction or Mean()
    decoding = [name for name, stage in uplink.items() if stage.decodes]
    if reduction.blind and decoding:
        raise InputError(
            f"under {type(reduction).__name__} the server sees sums only and cannot decode what {', '.join(decoding)} "
            "encodes; leave out one of the two"
        )
    return reduction


def run_weighting(aggregator: Aggregator, uplink: Mapping[str, Stage]) -> dict[str, str]:
    """key -> how messages are averaged: the algorithm's `weighting`, but "uniform" for every key if a stage needs it.

    Raises:
        InputError: the algorithm's `weighting` is no mapping, or has another value.
    """
    weighting, allowed = aggregator.weighting, get_args(Weighting)
    if not isinstance(weighting, Mapping):
        raise InputError(
            f"{aggregator}: weighting={weighting!r} is no mapping; write one from the keys of a message to "
            f"{' or '.join(allowed)}, such as {{'delta': 'uniform'}}"
        )
    for key, value in weighting.items():
        if value not in allowed:
            raise InputError(f"{aggregator}: weighting of {key} is {value!r}; write {' or '.join(allowed)}")
    needing = [f"uplink.{name}" for name, stage in uplink.items() if stage.uniform]
    if not needing:
        return dict(weighting)
    by_examples = [key for key, value in ({"delta": "examples"} | dict(weighting)).items() if value == "examples"]
    if by_examples:
        log.warning(
            "%s: all clients count the same, because %s needs it; %s alone would weigh %s by examples",
            aggregator,
            ", ".join(needing),
            aggregator,
            ", ".join(by_examples),
        )
    return dict.fromkeys(("delta", *weighting, OTHER_KEYS), "uniform")
