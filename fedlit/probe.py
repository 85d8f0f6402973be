"""The losses of clients before a round, for samplers that choose by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fedlit.client_tasks import LossTask
from fedlit.engines import Engine
from fedlit.errors import InputError
from fedlit.federation import Federation
from fedlit.round import Round
from fedlit.samplers import checked_clients
from fedlit.state import FederationState


def probed_losses(
    federation: Federation, state: FederationState, engine: Engine, round_number: int, candidates: Sequence[int]
) -> np.ndarray:
    """The losses (K,) of the models that K clients would receive, on their training data. NaN where a client has no
    samples, or failed under `engine.on_failure=drop`.

    Raises:
        InputError: a candidate is no client, or the broadcast has no model.
    """
    clients, sampler = federation.clients, type(federation.sampler).__name__
    broadcast = federation.aggregator.broadcast(state.server)
    if "model" not in broadcast:
        raise InputError(
            f"{sampler} chooses clients by the loss of the model that all receive, and {federation.aggregator} sends "
            "none; write sampler=uniform, or another aggregator"
        )
    numbers = checked_clients(federation.sampler, candidates, len(clients))
    cohort = clients.longest_first(dict.fromkeys(numbers))
    round = Round(round_number, federation.seed, cohort, len(clients), "probe")
    losses: dict[int, float] = {}
    for chunk in engine.run(LossTask(), federation.cohort(round, state, broadcast, stateless=True)):
        if chunk.clients:
            losses |= zip(chunk.clients, chunk.wire["loss"][:, 0].tolist(), strict=True)
    return np.array([losses.get(number, np.nan) for number in numbers])
