"""Rounds of two small clients before the run: together, again, and each client alone on a fresh copy.

The trial runs on a copy of the module in 64 bits, where rounding cannot hide or feign a difference; and in the run's
precision where a step is expensive or the algorithm works in one floating type only. Under a worker with one client a
chunk (trainer=lightning, a module that cannot be stacked) "together" is one after the other. Then a mixing of clients
can neither happen nor show, and the other checks remain.
"""

from __future__ import annotations

import copy
import logging
from typing import Any

import torch
from torch import Tensor

from fedlit.aggregators import Aggregator
from fedlit.algorithm_trial.comparison import (
    Differences,
    Outcome,
    Rounding,
    difference,
    differences,
    explained_by_rounding,
    rounding,
)
from fedlit.algorithm_trial.kept_values import SharedValues
from fedlit.algorithm_trial.small_federation import InputNoise, RoundInputs, SmallFederation
from fedlit.algorithm_trial.trees import cloned
from fedlit.algorithm_trial.trial_size import trial_size
from fedlit.algorithm_trial.verdicts import gives_others_again, mixes_clients
from fedlit.algorithm_trial.watched_aggregator import WatchedAggregator
from fedlit.algorithm_trial.weighting import check_keys
from fedlit.client import ClientState
from fedlit.clients import Clients
from fedlit.errors import InputError
from fedlit.global_generators import isolated_generators
from fedlit.messages.pipeline import Pipeline
from fedlit.messages.reductions import Mean
from fedlit.messages.wire import Wire, flatten_message
from fedlit.randomness import seed_number
from fedlit.server_round import unread_server_lr
from fedlit.training import Worker

log = logging.getLogger(__name__)
_FACTOR = 0.5  # of a learning rate that follows a schedule
_FROM_FEDLIT = (  # see `_is_of_the_contract`
    "algorithm_trial",
    "client",
    "learning_rates",
    "model_vectors",
    "server_round",
    "training",
    "user_module",
)
_OF_FORMS = (  # shapes and types of messages, not numbers
    "fedlit.messages.pipeline",
    "fedlit.messages.wire",
    "fedlit.messages.weights",
    "fedlit.messages.reductions.mean",
)


def try_algorithm(
    pipeline: Pipeline,
    clients: Clients,
    worker: Worker,
    counters: dict[str, Tensor],
    seed: int,
    client_schedule: bool = False,
    server_schedule: bool = False,
) -> Wire | None:
    """Try a copy of the algorithm of a pipeline. Nothing of it remains.

    An exception that is no mistake against the contract is left to the first round, which shows its trace: it may come
    from the trial's small batches.

    Args:
        pipeline: with the algorithm before its `setup`.
        worker: of this process; a copy of its module is trained.
        counters: the module's integer buffers at the start.
        client_schedule, server_schedule: a schedule changes the learning rates of the clients, or of the server. Then
            those of the trial have a factor, because that of the first rounds may be 1.

    Returns:
        The message of one client before its stages, without axis K; None where the algorithm could not be tried.

    Raises:
        InputError: a mistake against the contract, in one sentence; or a learning rate that cannot have a factor.
    """
    aggregator = pipeline.aggregator
    shared, precision = SharedValues(aggregator), worker.host.options.precision
    lr_factors = _FACTOR if client_schedule else 1.0, _FACTOR if server_schedule else 1.0
    failure: Exception | None = None
    try:
        with isolated_generators(seed_number(seed, "trial of the algorithm")):  # a seed that no method sets itself
            size = trial_size(worker.host)
            exact = [("64-true", True)] if size.exact else []
            for trial_precision, chunks in [*exact, (precision, True), (precision, False)]:
                try:
                    trial_worker = worker.for_trial(trial_precision)
                    if trial_worker is not None:
                        federation = SmallFederation(
                            pipeline, clients, trial_worker, counters, seed, size, chunks, lr_factors
                        )
                        return _Trial(aggregator, federation, trial_precision, server_schedule).run(size.rounds)
                    return None
                except Exception as error:
                    if isinstance(error, InputError) and _is_of_the_contract(error):
                        raise
                    failure = error
    finally:
        shared.restore()
    log.info("%s could not be tried before the run", type(aggregator).__name__, exc_info=failure)
    return None


def _is_of_the_contract(error: InputError) -> bool:
    """Whether fedlit refuses what the algorithm or the module is. A refusal of the user's own code, or of numbers on
    their way, may come from the trial's small data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    module = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
    package, _, room = module.partition(".")
    return package == "fedlit" and (room.partition(".")[0] in _FROM_FEDLIT or module in _OF_FORMS)


class _Trial:
    """
    Args:
        precision: of the federation's worker.
        server_schedule: see `try_algorithm`.
    """

    def __init__(self, aggregator: Aggregator, federation: SmallFederation, precision: str, server_schedule: bool):
        self.aggregator, self.federation, self.server_schedule = aggregator, federation, server_schedule
        self.model = federation.layout.read(federation.worker.host.module)
        self.rounding: Rounding = rounding(precision, federation.layout.dtype)

    def run(self, rounds: int) -> Wire:
        """The rounds and the comparisons; the message of one client."""
        federation, used = self.federation, self._copy()
        rng = torch.Generator().manual_seed(seed_number(federation.seed, "server"))
        server = used.server_state(self.model, rng)
        states: list[ClientState] = [{"algorithm": used.client_state(self.model)} for _ in federation.cohort]
        for number in range(1, rounds + 1):
            inputs = RoundInputs(number, server, states)
            round, returned = federation.train(used, inputs)
            reduced = federation.reduce(used, round, returned)
            server, states = (
                federation.server_update(used, server, reduced, round),
                federation.states(returned, states),
            )
            used.global_model(server)
        self._start_another_round(used, server)
        if self.server_schedule and not used.reads_server_lr and (reduced or not used.keys):
            raise unread_server_lr(str(self.aggregator))
        check_keys(self.aggregator, used.keys)
        federation.check_stages(used, inputs, self.rounding.tolerance)
        together = federation.outcome(used, inputs)
        used.settled = True
        federation.train(used, inputs)
        self._check_same_again(used, inputs, together)
        again = federation.server_update(used, inputs.server, reduced, round)
        if difference(server, again, self.rounding.tolerance) and federation.repeats(tolerance=0):
            raise InputError(gives_others_again(used, "server_update"))
        if federation.stacked or used.touched or any(watched.adjusts for watched in used.watched.values()):
            self._check_same_alone(used, inputs, together)
        return flatten_message(together[0]["the message"])

    def _copy(self, by_pieces: bool = False) -> WatchedAggregator:
        """A copy before its first round, set up."""
        federation = self.federation
        averages = type(federation.pipeline.reduction) is Mean
        return WatchedAggregator(_copied(self.aggregator), federation.layout, federation.clients, averages, by_pieces)

    def _start_another_round(self, used: WatchedAggregator, server: dict[str, Any]) -> None:
        """The new server state has what the next round reads of it."""
        round = self.federation.round(1)
        round.broadcast = used.broadcast(server)
        self.federation.downloads(used, server, round)

    def _check_same_again(self, used: WatchedAggregator, inputs: RoundInputs, together: Outcome) -> None:
        """The round again, which has just run, gives the same."""
        differing = self._differences(together, self.federation.outcome(used, inputs))
        if differing and self.federation.repeats(tolerance=0):
            raise InputError(gives_others_again(used, _method(differing)))

    def _check_same_alone(self, used: WatchedAggregator, inputs: RoundInputs, together: Outcome) -> None:
        """Each client alone, on a fresh copy, gives the same as together with the other."""
        pieces = self._alone(inputs, by_pieces=True)
        differing = self._differences(together, pieces)
        if not differing or not self.federation.repeats(self.rounding.tolerance):
            return
        noisy = [self._alone(inputs, by_pieces=True, noise=InputNoise(self.rounding.error, seed)) for seed in range(3)]
        if explained_by_rounding(differing, [self._differences(pieces, other) for other in noisy]):
            return
        watched = used.watched[_method(differing)]
        if watched.adjusts and not used.touched:
            unpieced = self._alone(inputs, by_pieces=False)
            if not self._differences(together, unpieced):
                raise InputError(watched.not_elementwise())
        raise InputError(mixes_clients(used, watched, next(iter(differing))))

    def _alone(self, inputs: RoundInputs, by_pieces: bool, noise: InputNoise | None = None) -> Outcome:
        fresh = self._copy(by_pieces)
        fresh.client_state(self.model)
        self.federation.train(fresh, inputs, together=False, noise=noise)
        return self.federation.outcome(fresh, inputs, together=False, noise=noise)

    def _differences(self, first: Outcome, second: Outcome) -> Differences:
        return differences(first, second, self.rounding.tolerance)


def _copied(aggregator: Aggregator) -> Aggregator:
    """A deep copy; an attribute that cannot be copied is shared."""
    try:
        return copy.deepcopy(aggregator)
    except Exception:
        twin = copy.copy(aggregator)
        vars(twin).update({name: cloned(value) for name, value in vars(aggregator).items()})
        return twin


def _method(differing: Differences) -> str:
    """The method that a difference comes from."""
    return "personal" if all(path.startswith("the personal model") for path in differing) else "local_update"
