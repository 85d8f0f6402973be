"""What happens to messages on their way: an ordered list of uploads, then one reduction."""

from __future__ import annotations

from collections.abc import Sequence

from fedlit.aggregators.base import Aggregator
from fedlit.errors import InputError
from fedlit.messages.reductions import All, Mean, Reduction
from fedlit.messages.stages import Stage


def chosen_reduction(aggregator: Aggregator, uploads: Sequence[Stage], reduction: Reduction | None) -> Reduction:
    """The reduction of a run; refuses before any work what cannot go together.

    Raises:
        InputError: an upload or a reduction beside an algorithm that needs every message as it is; an upload that needs
            decoding under a blind reduction; two uploads of one name.
    """
    names = [u.name for u in uploads]
    if len(set(names)) < len(names):
        raise InputError(f"uploads={names}: two stages have one name; give one of them another `name`")
    if aggregator.needs_all:
        if uploads or not isinstance(reduction, All | None):
            beside = names or [type(reduction).__name__]
            raise InputError(
                f"{aggregator} needs every client's own message as it is, and {', '.join(beside)} would change it; "
                "write uploads=[] reduction=null"
            )
        return reduction or All()
    reduction = reduction or Mean()
    decoding = [u.name for u in uploads if u.decodes]
    if reduction.blind and decoding:
        raise InputError(
            f"under {type(reduction).__name__} the server sees sums alone and cannot decode what {', '.join(decoding)} "
            "encodes; leave out one of the two"
        )
    return reduction


def run_weighting(aggregator: Aggregator, uploads: Sequence[Stage]) -> dict[str, str]:
    """How the messages under each key are averaged: the algorithm's word, and that of the stages."""
    return {**aggregator.weighting, **({"delta": "uniform"} if any(u.uniform for u in uploads) else {})}
