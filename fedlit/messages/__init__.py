"""What happens to messages on their way: an ordered mapping of stages, then one reduction."""

from __future__ import annotations

from collections.abc import Mapping

from fedlit.aggregators.base import Aggregator
from fedlit.errors import InputError
from fedlit.messages.reductions import All, Mean, Reduction
from fedlit.messages.stages import Stage


def chosen_reduction(aggregator: Aggregator, uplink: Mapping[str, Stage], reduction: Reduction | None) -> Reduction:
    """The reduction of a run. Combinations that cannot work are refused before training.

    Args:
        uplink: stages by name.
        reduction: the configured one; None: the mean, or all messages where the algorithm needs them.

    Raises:
        InputError: a stage or a reduction with an algorithm that needs every message unchanged; a stage that needs
            decoding under a blind reduction.
    """
    if aggregator.needs_all:
        if uplink or not isinstance(reduction, All | None):
            changing = list(uplink) or [type(reduction).__name__]
            raise InputError(
                f"{aggregator} needs every client's own message as it is, and {', '.join(changing)} would change it; "
                "write uplink={} reduction=null"
            )
        return reduction or All()
    reduction = reduction or Mean()
    decoding = [name for name, stage in uplink.items() if stage.decodes]
    if reduction.blind and decoding:
        raise InputError(
            f"under {type(reduction).__name__} the server sees sums alone and cannot decode what {', '.join(decoding)} "
            "encodes; leave out one of the two"
        )
    return reduction


def run_weighting(aggregator: Aggregator, uplink: Mapping[str, Stage]) -> dict[str, str]:
    """How the messages under each key are averaged: by the algorithm's `weighting`, unless a stage needs `uniform`."""
    uniform = any(stage.uniform for stage in uplink.values())
    return {**aggregator.weighting, **({"delta": "uniform"} if uniform else {})}
