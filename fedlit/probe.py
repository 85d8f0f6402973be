"""The losses of clients before a round, for samplers that choose by them."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from fedlit.client_tasks import LossTask
from fedlit.engines import Engine
from fedlit.errors import InputError
from fedlit.federation import Federation
from fedlit.global_generators import isolated_generators
from fedlit.randomness import generator, seed_number
from fedlit.samplers import checked_clients
from fedlit.state import FederationState
from fedlit.used_models import UsedModels, has_personal_models, sends_one_model

_LONGEST = 1.0  # seconds in which a copy of the sampler is tried


def probed_losses(
    federation: Federation, state: FederationState, engine: Engine, round_number: int, candidates: Sequence[int]
) -> np.ndarray:
    """The losses (K,) of models on the training data of K clients. NaN where a client has no samples, or failed under
    `engine.on_failure=drop`.

    Where all clients receive one model, it is that. Else it is the model that each client would use itself, the
    algorithm's `personal`. If `personal` trains, it trains for the probe as well, with draws of the purpose "probe";
    the loss is that after training, and nothing of it is kept. Fine-tuning (`evaluation.finetune`) is not part of it.

    Raises:
        InputError: a candidate is no client, or clients have no model.
    """
    clients, sends_one = federation.clients, sends_one_model(federation, state)
    if not sends_one and not has_personal_models(federation, state, federation.round(round_number, [0], "probe")):
        raise InputError(_nothing_to_probe(federation))
    numbers = checked_clients(federation.sampler, candidates, len(clients))
    cohort = clients.longest_first(dict.fromkeys(numbers))
    round = federation.round(round_number, cohort, "probe")
    task = LossTask(None if sends_one else UsedModels(federation.aggregator))
    losses: dict[int, float] = {}
    for chunk in engine.run(task, federation.cohort(round, state, stateless=sends_one)):
        if chunk.clients:
            losses |= zip(chunk.clients, chunk.wire["loss"][:, 0].tolist(), strict=True)
    return np.array([losses.get(number, np.nan) for number in numbers])


def refuse_missing_model(federation: Federation, state: FederationState) -> None:
    """Refuse, before any work, a sampler that asks for losses in a later round under an algorithm whose clients have no
    model: they receive none, and have none of their own.

    A copy of the sampler chooses the clients of the rounds to come, for at most a second.

    Raises:
        InputError: it asks for losses.
    """
    round = federation.round(state.round + 1, [0], "probe")
    if sends_one_model(federation, state) or has_personal_models(federation, state, round):
        return

    asked: list[int] = []

    def refuse(_: Sequence[int]) -> np.ndarray:
        asked.append(number)
        raise InputError(_nothing_to_probe(federation))

    end = time.monotonic() + _LONGEST
    with isolated_generators(seed_number(federation.seed, "trial of the sampler")):
        for number in range(state.round + 1, federation.rounds + 1):
            rng = generator(federation.seed, "cohort", number)
            with suppress(Exception):  # another failure is that of its own round
                sampler, before = copy.deepcopy((federation.sampler, state.sampler))
                sampler.choose(number, rng, len(federation.clients), refuse, before)
            if asked:
                raise InputError(_nothing_to_probe(federation))
            if time.monotonic() > end:
                return


def _nothing_to_probe(federation: Federation) -> str:
    return (
        f"{type(federation.sampler).__name__} chooses clients by the loss of the model that they receive or have, and "
        f"under {federation.aggregator} they have none; write sampler=uniform, or another aggregator."
    )
