"""Messages from clients to the server: they pass an ordered mapping of stages, then one reduction."""

from __future__ import annotations

from collections.abc import Mapping

from fedlit.aggregators.base import Aggregator
from fedlit.errors import InputError
from fedlit.messages.reductions import All, Mean, Reduction
from fedlit.messages.stages import Stage

_OTHER_STATES = frozenset(("algorithm", "optimizer"))  # owners in a `ClientState`


def chosen_reduction(aggregator: Aggregator, uplink: Mapping[str, Stage], reduction: Reduction | None) -> Reduction:
    """The reduction of a run.

    Args:
        uplink: stages by name.
        reduction: the configured reduction; None: `Mean`, or `All` if the algorithm needs every message.

    Raises:
        InputError: the algorithm needs every message unchanged and a stage or the reduction would change it; the
            algorithm takes one message and `All` does not reduce; the reduction is blind and a stage needs decoding; or
            a stage has a name under which clients keep other states.
    """
    if taken := _OTHER_STATES & uplink.keys():
        name = min(taken)
        raise InputError(f"uplink.{name}: clients keep another state under this name; give the stage another")
    if aggregator.needs_all:
        if uplink or not isinstance(reduction, All | None):
            changing = list(uplink) or [type(reduction).__name__]
            raise InputError(
                f"{aggregator} needs every client's own message as it is, and {', '.join(changing)} would change it; "
                "leave them out"
            )
        return reduction or All()
    if type(reduction) is All:
        raise InputError(f"{aggregator} takes one reduced message, and All does not reduce; write reduction=null")
    reduction = reduction or Mean()
    decoding = [name for name, stage in uplink.items() if stage.decodes]
    if reduction.blind and decoding:
        raise InputError(
            f"under {type(reduction).__name__} the server sees sums only and cannot decode what {', '.join(decoding)} "
            "encodes; leave out one of the two"
        )
    return reduction


def run_weighting(aggregator: Aggregator, uplink: Mapping[str, Stage]) -> dict[str, str]:
    """key -> how messages are averaged: the algorithm's `weighting`, but "uniform" for `delta` if a stage needs it."""
    uniform = any(stage.uniform for stage in uplink.values())
    return {**aggregator.weighting, **({"delta": "uniform"} if uniform else {})}
