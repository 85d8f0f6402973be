"""A sampler is tried before the run: what it keeps must be in its state, and a checkpoint must be able to hold that."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlit.algorithm_trial.comparison import difference
from fedlit.algorithm_trial.returned_values import check_saved
from fedlit.errors import InputError
from fedlit.global_generators import isolated_generators
from fedlit.randomness import generator, seed_number
from fedlit.samplers import Sampler, checked_choice, checked_state

log = logging.getLogger(__name__)
_ROUNDS = 3
_LONGEST = 1.0  # seconds, for all of them


def try_sampler(sampler: Sampler, clients: int, seed: int) -> None:
    """Let a copy of the sampler, after `setup`, choose the clients of some rounds, with losses that are made up.

    After each round a fresh copy with the same state has to choose the same, as it does when a run is resumed. An
    exception of the sampler is left to its own round: it may come from these losses.

    Raises:
        InputError: the sampler chooses by values outside of its state, a checkpoint cannot hold the state, or it has no
            method that chooses.
    """
    kind = type(sampler)
    if kind.choose is Sampler.choose and kind.__call__ is Sampler.__call__:
        raise InputError(
            f"{kind.__name__} has no method that chooses clients; write __call__, or choose if it has a state."
        )
    state = checked_state(sampler, "initial_state", sampler.initial_state())
    check_saved(f"{kind.__name__}.initial_state", state)
    end = time.monotonic() + _LONGEST
    with isolated_generators(seed_number(seed, "trial of the sampler")):
        used = copy.deepcopy(sampler)
        for number in range(1, _ROUNDS + 1):
            try:
                (chosen, after), again = (
                    _choice(s, number, clients, seed, state) for s in (used, copy.deepcopy(sampler))
                )
                state = used.observe(copy.deepcopy(after), {client: _loss(client, number) for client in chosen})
            except InputError:
                raise
            except Exception:
                log.info("%s could not be tried before the run", kind.__name__, exc_info=True)
                return
            if chosen != again[0] or difference(after, again[1], 0.0):
                raise InputError(
                    f"{kind.__name__} chooses other clients than a run that is resumed before round {number} would, "
                    "because it keeps values outside of its state or draws from a generator of its own; keep them in "
                    "the state (initial_state, choose, observe), and draw from rng."
                )
            check_saved(f"{kind.__name__}.choose", after)
            check_saved(f"{kind.__name__}.observe", checked_state(sampler, "observe", state))
            if time.monotonic() > end:
                return


def _choice(sampler: Sampler, number: int, clients: int, seed: int, state: dict[str, Any]) -> tuple[list[int], Any]:
    def probe(candidates: Sequence[int]) -> np.ndarray:
        return np.array([_loss(int(client), number) for client in candidates])

    rng = generator(seed, "cohort", number)
    choice = sampler.choose(number, rng, clients, probe, copy.deepcopy(state))
    return checked_choice(sampler, choice, clients)


def _loss(client: int, number: int) -> float:
    return 1.0 + (client * 7 + number * 3) % 11 / 11
