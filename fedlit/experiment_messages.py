"""What messages of a run pass: built from its configuration, and checked before any work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import DictConfig

from fedlit.aggregators import Aggregator
from fedlit.messages.composition import check_order, check_plan, chosen_reduction, norm_bound
from fedlit.messages.downlink import DownlinkStage
from fedlit.messages.pipeline import Pipeline
from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions import Reduction
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire
from fedlit.method_signatures import check_methods


@dataclass(frozen=True)
class MessageParts:
    """The stages by name, in order, and the reduction of a run."""

    uplink: dict[str, Stage]
    downlink: dict[str, DownlinkStage]
    reduction: Reduction


def message_parts(config: DictConfig, make: Callable[[Any, str], Any], aggregator: Aggregator) -> MessageParts:
    """
    Args:
        make: builds the object of a part of the configuration, whose key is the second argument.

    Raises:
        InputError: a method of a user's class takes other arguments, or the parts cannot go together.
    """
    uplink = {str(name): make(stage, f"uplink.{name}") for name, stage in config.uplink.items()}
    downlink = {str(name): make(stage, f"downlink.{name}") for name, stage in config.downlink.items()}
    for stage in uplink.values():
        check_methods(stage, Stage)
    for stage in downlink.values():
        check_methods(stage, DownlinkStage)
    check_order(uplink)
    configured = make(config.reduction, "reduction") if config.get("reduction") else None
    reduction = chosen_reduction(aggregator, uplink, configured)
    check_methods(reduction, Reduction)
    return MessageParts(uplink, downlink, reduction)


def check_messages(
    pipeline: Pipeline,
    reduction: Reduction,
    message: Wire | None,
    clients: int,
    expected: float,
    server_samples: int,
    sizes: np.ndarray,
) -> None:
    """
    Args:
        reduction: of the run, which may be within the collusion of malicious clients in the pipeline.
        message: of one client, without axis K; None where the algorithm could not be tried, and nothing is checked.
        clients: N, of the federation.
        expected: mean size of a cohort.
        sizes: (N,): the training samples of each client.

    Raises:
        InputError: a stage or the reduction cannot go together with something of the run.
    """
    if message is None or pipeline.layout is None:
        return
    plan = MessagePlan(
        algorithm=str(pipeline.aggregator),
        message=message,
        weighting=pipeline.weighting,
        layout=pipeline.layout,
        clients=clients,
        expected=expected,
        server_samples=server_samples,
        most_examples=int(sizes.max(initial=1)),
        mean_examples=float(sizes.mean()) if len(sizes) else 1.0,
        uplink=tuple(pipeline.uplink),
        norm=norm_bound(pipeline.uplink),
        reduction=type(reduction).__name__,
        blind=reduction.blind,
        hands_over=reduction.hands_over,
        exact=pipeline.aggregator.exact,
        clients_step=pipeline.aggregator.clients_step,
    )
    check_plan(plan, pipeline.uplink, pipeline.reduction)
