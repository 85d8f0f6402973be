"""What of a run goes together: the algorithm, the stages of its messages, and their reduction. All else is refused,
before any work."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from typing import get_args

from fedlit.aggregators.base import Aggregator
from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions import All, Mean, Reduction
from fedlit.messages.stages import Stage
from fedlit.messages.stages.base import Place
from fedlit.messages.weights import OTHER_KEYS, WORDS, carried_weights

log = logging.getLogger(__name__)


def chosen_reduction(aggregator: Aggregator, uplink: dict[str, Stage], reduction: Reduction | None) -> Reduction:
    """The reduction of a run.

    Args:
        uplink: stages by name.
        reduction: the configured reduction; None: `Mean`, or `All` if the algorithm needs every message.

    Raises:
        InputError: the algorithm needs every message unchanged and a stage or the reduction would change it; the
            algorithm takes one message and `All` does not reduce; the reduction takes no weights of messages; or it is
            blind and a stage needs decoding.
    """
    carried = carried_weights(_checked_weighting(aggregator))
    several = [name for name, stage in uplink.items() if stage.trips > 1]
    if aggregator.needs_all:
        if carried:
            raise InputError(
                f"{aggregator} gets every message (needs_all), and none is averaged, so weighting={carried} has no "
                "effect; weigh the messages in server_update, or leave needs_all out"
            )
        if several or (reduction is not None and not reduction.hands_over):
            reducing = f"uplink.{several[0]}" if several else type(reduction).__name__
            raise InputError(
                f"{aggregator} gets every client's own message (needs_all), and {reducing} makes one of them; leave "
                f"{reducing} out" + ("" if several else ", by reduction=null")
            )
        return reduction or All()
    keeps_all = isinstance(reduction, All) and type(reduction).finish is All.finish
    if reduction is not None and (reduction.hands_over or keeps_all):
        raise InputError(
            f"{aggregator} takes one reduced message, and {type(reduction).__name__} does not reduce; "
            "write reduction=null, or set needs_all = True in the algorithm's class"
        )
    reduction = reduction or Mean()
    if carried and not reduction.weighs_by_messages:
        raise InputError(
            f"{aggregator} weighs messages by a part of them (weighting={carried}), and {type(reduction).__name__} has "
            "no such weights; write reduction=null, or another aggregator"
        )
    if several and (type(reduction) is not Mean or carried):
        other = f"weighting={carried} of {aggregator}" if carried else type(reduction).__name__
        raise InputError(
            f"uplink.{several[0]} sends several messages a round, of which only means are known, and {other} needs "
            "single messages; leave out one of the two."
        )
    decoding = [name for name, stage in uplink.items() if stage.decodes]
    if reduction.blind and decoding:
        raise InputError(
            f"under {type(reduction).__name__} the server sees sums only and cannot decode what {', '.join(decoding)} "
            "encodes; leave out one of the two"
        )
    return reduction


def check_order(uplink: dict[str, Stage]) -> None:
    """
    Args:
        uplink: the stages in the order in which a message passes them.

    Raises:
        InputError: they are not in the order of their places, or a stage of several trips is not the last.
    """
    places = get_args(Place)
    for name, stage in uplink.items():
        if stage.place not in places:
            raise InputError(
                f"uplink.{name}: place={stage.place!r} of {type(stage).__name__} is no place of a stage; write "
                f"{' or '.join(places)}."
            )
    by_place = sorted(uplink, key=lambda name: (places.index(uplink[name].place), uplink[name].trips))
    for name, after in itertools.pairwise(by_place):
        if uplink[name].trips > 1:
            raise InputError(
                f"uplink=[{','.join(uplink)}]: {name} sends several messages a round and has to be the last stage, and "
                f"{after} comes after it ({uplink[after].place}); leave one of the two out."
            )
    if by_place != list(uplink):
        order = ", ".join(f"{name} ({uplink[name].place})" for name in uplink)
        raise InputError(
            f"uplink=[{','.join(uplink)}]: a message passes attacks first, then compression, then limits, then seals, "
            f"then what happens in transit, a stage of several messages last of its place, and the order here is "
            f"{order}; {_in_order(by_place, uplink)}."
        )


def _in_order(names: list[str], uplink: dict[str, Stage]) -> str:
    """What to write for stages in this order. Hydra puts a class of the user's behind the options of the list."""
    written = f"write 'uplink=[{','.join(names)}]'"
    of_users = [name for name in names if not type(uplink[name]).__module__.startswith("fedlit.")]
    if not of_users:
        return written
    return (
        f"{written}, with {' and '.join(of_users)} as an option of its own: uplink/{of_users[0]}.yaml in a folder of "
        f"--config-dir, beginning with `# @package uplink.{of_users[0]}`"
    )


def check_plan(plan: MessagePlan, uplink: dict[str, Stage], reduction: Reduction) -> None:
    """
    Raises:
        InputError: a stage needs a key that is not sent, or something of the run does not go together.
    """
    for name, stage in uplink.items():
        plan.check_keys(f"uplink.{name}", stage.needs)
        stage.check(plan)
    reduction.check(plan)


def norm_bound(uplink: dict[str, Stage]) -> float | None:
    """The largest Euclidean norm of a message that leaves the stages; None: there is no bound."""
    norm: float | None = None
    for stage in uplink.values():
        norm = stage.bound(norm)
    return norm


def run_weighting(aggregator: Aggregator, uplink: dict[str, Stage]) -> dict[str, str]:
    """key -> how messages are averaged: the algorithm's `weighting`, but "uniform" for every key if a stage needs it.

    Raises:
        InputError: the algorithm's `weighting` is no mapping, or has another value; or a stage needs equal weights and
            the messages carry their own.
    """
    weighting = _checked_weighting(aggregator)
    needing = [f"uplink.{name}" for name, stage in uplink.items() if stage.uniform]
    if not needing:
        return weighting
    for key, weight in carried_weights(weighting).items():
        raise InputError(
            f"{aggregator} weighs {key} by {weight} of each message, and {', '.join(needing)} needs all clients to "
            "count the same; leave out the stage, or choose another aggregator"
        )
    by_examples = [key for key, value in ({"delta": "examples"} | weighting).items() if value == "examples"]
    if by_examples:
        log.warning(
            "%s: all clients count the same, because %s needs it; %s alone would weigh %s by examples",
            aggregator,
            ", ".join(needing),
            aggregator,
            ", ".join(by_examples),
        )
    return dict.fromkeys(("delta", *weighting, OTHER_KEYS), "uniform")


def _checked_weighting(aggregator: Aggregator) -> dict[str, str]:
    """The algorithm's own `weighting`."""
    weighting = aggregator.weighting
    if not isinstance(weighting, Mapping):
        raise InputError(
            f"{aggregator}: weighting={weighting!r} is no mapping; write one from the keys of a message to "
            f"{' or '.join(WORDS)}, such as {{'delta': 'uniform'}}"
        )
    for key, value in weighting.items():
        if not isinstance(value, str) or not value:
            raise InputError(
                f"{aggregator}: weighting of {key} is {value!r}; write {' or '.join(WORDS)}, or the key of a weight in "
                "the message"
            )
        if value not in WORDS and value in weighting:
            raise InputError(
                f"{aggregator}: weighting of {key} is {value!r}, which is weighed itself (by {weighting[value]}); the "
                f"server gets the sum of the weights, so leave {value!r} out of weighting"
            )
    return dict(weighting)
