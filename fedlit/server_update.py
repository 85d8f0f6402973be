"""The server's step at the end of a round, also of a round that asks no client."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fedlit.aggregators.base import Aggregator, State
from fedlit.client_tasks import MessageTask
from fedlit.engines import Engine
from fedlit.errors import InputError
from fedlit.federation import Federation
from fedlit.messages.finite import check_server_state
from fedlit.messages.wire import flatten_message, unflatten_message
from fedlit.server_round import ServerRound, unread_server_lr
from fedlit.state import FederationState
from fedlit.stop import Stop

log = logging.getLogger(__name__)


def new_server_state(
    federation: Federation, state: FederationState, engine: Engine, round: ServerRound, reduced: dict[str, Any]
) -> State:
    """The server's state after a round in which the messages were reduced to `reduced`, which may be empty.

    Raises:
        InputError: the new state is not finite, or the server has no data and uses it.
    """
    if reduced:
        return _stepped(federation.aggregator, state.server, reduced, round)
    if round.cohort:
        return state.server
    return _stepped_without_clients(federation, state, engine, round)


def _stepped(aggregator: Aggregator, server: State, reduced: dict[str, Any], round: ServerRound) -> State:
    try:
        after = aggregator.server_update(server, reduced, round)
    except AttributeError as error:
        round.refuse_missing_data(f"{aggregator}.server_update", error)
        raise
    if round.scheduled_server_lr != 1 and not round.server_lr_was_read:
        raise unread_server_lr(str(aggregator))
    check_server_state(server, after, str(aggregator), round.number)
    return after


def _stepped_without_clients(
    federation: Federation, state: FederationState, engine: Engine, round: ServerRound
) -> State:
    """The server's state after a step along zeros. Without a `delta` zeros are no message: the mean of models is no
    change. And not every algorithm has a step along zeros: one that divides by a part of its message has none."""
    aggregator = federation.aggregator
    try:
        zeros = _zeros_of_a_message(federation, state, engine, round)
        return _stepped(aggregator, state.server, zeros, round) if "delta" in zeros else state.server
    except Stop:
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        log.warning(
            "round %d asks no client, and the server keeps its state, because %s has no step along a message of zeros "
            "(%s); let its server_update return what is right where round.arrived is empty",
            round.number,
            aggregator,
            reason,
        )
        return state.server


def _zeros_of_a_message(
    federation: Federation, state: FederationState, engine: Engine, round: ServerRound
) -> dict[str, Any]:
    """A reduced message of zeros, in the shapes of a message, which are those of one local update on a batch of the
    largest shard. Empty where the reduction has no such message."""
    clients = federation.clients
    if not federation.pipeline.reduction.zero_without_clients or not len(clients.train.indices):
        return {}
    probed = federation.round(round.number, [int(np.argmax(clients.train.sizes))], "probe")
    cohort = federation.cohort(probed, state)
    cohort.jobs = [replace(job, train=job.train[: job.batch_size], epochs=1, updates=None) for job in cohort.jobs]
    sent = {k: v for chunk in engine.run(MessageTask(federation.aggregator), cohort) for k, v in chunk.wire.items()}
    if not sent:
        return {}
    wire = flatten_message(federation.aggregator.unpack(unflatten_message(sent), round))
    return unflatten_message({key: torch.zeros_like(value[0]) for key, value in wire.items()})
