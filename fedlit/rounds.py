"""The round loop: sample, train, update the server, evaluate, record. It names no algorithm and no device."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from fedlit import interrupts
from fedlit.arrivals import Arrivals, later_trips
from fedlit.checkpoint import Checkpoints
from fedlit.client_tasks import TrainTask
from fedlit.early_stopping import NEVER, EarlyStopping
from fedlit.engines import Engine
from fedlit.evaluation.evaluated import Evaluated
from fedlit.evaluation.evaluator import Evaluator
from fedlit.evaluation.round_record import RoundRecord
from fedlit.federation import Federation
from fedlit.messages.delivery import Delivered
from fedlit.messages.inbox import ReducedRound
from fedlit.metric_names import Row, algorithm_metric
from fedlit.probe import probed_losses
from fedlit.randomness import generator
from fedlit.samplers import checked_choice, checked_state
from fedlit.server_round import ServerRound
from fedlit.server_update import new_server_state
from fedlit.state import FederationState
from fedlit.stop import stop_noted
from fedlit.stopwatch import Stopwatch
from fedlit.tracking import Logger


def federate(
    federation: Federation,
    state: FederationState,
    engine: Engine,
    evaluator: Evaluator,
    logger: Logger,
    checkpoints: Checkpoints,
    early_stopping: EarlyStopping = NEVER,
) -> FederationState:
    """Run the remaining rounds, or those until a Stop, whose reason is then in `state.stopped`.

    `update_server` updates `state` in place. If a signal or a Stop ends the training of a round early, `state` is still
    that of the round before; during the evaluation both wait until the round is recorded.

    Raises:
        Interrupted: a signal came (Ctrl-C, SIGTERM, SIGHUP).
    """
    with stop_noted(state):
        while state.round < federation.rounds and state.stopped is None:
            interrupts.check()
            watch = Stopwatch()

            round, sampler_state, delivered = open_round(federation, state, engine)
            arrivals = train_cohort(federation, state, engine, evaluator, logger, round, delivered)
            watch.lap("fit")

            reports = update_server(federation, state, engine, round, arrivals, sampler_state, delivered)
            watch.lap("aggregate")

            evaluated = Evaluated()
            with interrupts.deferred(), stop_noted(state):  # the state is that of this round already
                evaluated = evaluator(federation, state, engine, round.number)
            watch.lap("evaluate")

            row = evaluated.row | arrivals.record.row() | reports | federation.schedule_row(round.number) | watch.row()
            state.seconds += watch.total
            if evaluator.note_if_best(state, row):
                checkpoints.save_best(state)
            with stop_noted(state):
                logger.round(round.number, row, evaluated.pictures)
            with stop_noted(state):
                lines = evaluator.client_lines(arrivals.record.facts, evaluated)
                logger.clients(round.number, federation.attack.marked(lines))
            with stop_noted(state):
                early_stopping.check(state, row, evaluator.directions)
            checkpoints.save_if_due(state)
    return state


def open_round(
    federation: Federation, state: FederationState, engine: Engine
) -> tuple[ServerRound, dict[str, Any], Delivered]:
    """The next round with the clients that the sampler chooses, the sampler's new state, and what these clients
    receive."""
    number, clients = state.round + 1, federation.clients

    def probe(candidates: Sequence[int]) -> np.ndarray:
        return probed_losses(federation, state, engine, number, candidates)

    rng, before = generator(federation.seed, "cohort", number), copy.deepcopy(state.sampler)
    choice = federation.sampler.choose(number, rng, len(clients), probe, before)
    chosen, sampler_state = checked_choice(federation.sampler, choice, len(clients))
    round = federation.round(number, clients.longest_first(chosen))
    delivered = federation.deliver(state, round)
    round.broadcast = delivered.broadcast
    round.server_client = clients.server_client(round, engine.local_worker, state.counters)
    return round, sampler_state, delivered


def train_cohort(
    federation: Federation,
    state: FederationState,
    engine: Engine,
    evaluator: Evaluator,
    logger: Logger,
    round: ServerRound,
    delivered: Delivered,
) -> Arrivals:
    """Train every client of the round, and reduce messages as they arrive."""
    logger.cohort(round.number, len(round.cohort))
    of_stages = federation.pipeline.broadcast(state.messages)
    cohort = federation.cohort(round, state, federation.pipeline.with_broadcasts(round.broadcast, of_stages))
    stage_bytes = federation.pipeline.broadcast_bytes(of_stages) * len(cohort)
    record = RoundRecord.of(cohort, delivered.num_bytes + stage_bytes, evaluator.directions)
    arrivals = Arrivals(round, federation.inbox(state, round), record, state.counters)
    task = TrainTask(federation.pipeline, *evaluator.watched(round.number, round.cohort))
    for chunk in engine.run(task, cohort):
        arrivals.add(chunk)
        logger.client_done(round.number, arrivals.record.returned)
    later_trips(federation.pipeline, engine, arrivals, cohort.jobs)
    return arrivals


def update_server(
    federation: Federation,
    state: FederationState,
    engine: Engine,
    round: ServerRound,
    arrivals: Arrivals,
    sampler_state: dict[str, Any],
    delivered: Delivered,
) -> Row:
    """Step the server, and store the new states of clients, sampler, stages and reduction. If none of the clients that
    were asked sent anything, the server keeps its state.

    Returns:
        What stages, reduction, algorithm and attack report.
    """
    arrivals.record.warn_if_nobody_trained(round.number)
    reduced: ReducedRound = arrivals.inbox.reduced()
    server = new_server_state(federation, state, engine, round, reduced.message)
    observed = federation.sampler.observe(sampler_state, arrivals.record.losses())
    state.sampler = checked_state(federation.sampler, "observe", observed)
    state.clients.put(round.number, arrivals.new_states())
    state.server, state.counters, state.round = server, arrivals.counters, round.number
    state.messages = reduced.state | {"downlink": delivered.state}
    state.lost += arrivals.record.lost
    of_algorithm = {algorithm_metric(name): float(value) for name, value in round.reports.items()}
    return reduced.row | of_algorithm | federation.attack.row(round, reduced.excluded)
