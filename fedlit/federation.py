"""The round loop: sample, broadcast, local update, reduce, server update, evaluate, record, save."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedlit import interrupts
from fedlit.aggregators.base import Aggregator
from fedlit.assessment import Assessment
from fedlit.checkpoint import Checkpoints
from fedlit.clients import Clients
from fedlit.engines import Engine
from fedlit.messages.reductions import Reduction
from fedlit.messages.uploads import Upload
from fedlit.messages.wire import flat, size, whole
from fedlit.model_vectors import Model
from fedlit.randomness import generator
from fedlit.round import ServerRound
from fedlit.samplers import Sampler
from fedlit.state import FederationState, keep_largest
from fedlit.tracking import Logger
from fedlit.tracking.round_record import RoundRecord
from fedlit.trainers import Cohort
from fedlit.trainers.cohort import ClientState
from fedlit.work import LocalUpdate, Losses


@dataclass
class Federation:
    """Everything that does not change during a run."""

    aggregator: Aggregator
    sampler: Sampler
    uploads: Sequence[Upload]
    reduction: Reduction
    weighting: dict[str, str]
    clients: Clients
    start: Model  # the first weights, from the seed alone
    seed: int
    rounds: int


def federate(
    f: Federation,
    state: FederationState,
    engine: Engine,
    assessment: Assessment,
    logger: Logger,
    checkpoints: Checkpoints,
) -> FederationState:
    """Run the rounds that are left. Ctrl-C (`Interrupted`) drops the unfinished round: `state` is as before it."""
    fresh = {"algorithm": f.aggregator.client_state(f.start)}

    while state.round < f.rounds:
        interrupts.check()
        begin = time.perf_counter()
        number = state.round + 1
        down = f.aggregator.broadcast(state.server)

        def probe(clients: Sequence[int], number: int = number, down: dict = down) -> np.ndarray:
            jobs = f.clients.jobs(ServerRound(number, f.seed, list(clients), len(f.clients), "probe"))
            found = engine.run(Losses(), Cohort(jobs, down, [{}] * len(jobs), [fresh] * len(jobs), state.counters))
            return np.concatenate([r.wire["loss"][:, 0].cpu().numpy() for r in found])

        # sample
        asked = f.sampler(number, generator(f.seed, "cohort", number), len(f.clients), probe)
        cohort = f.clients.longest_first(asked)
        expected = f.sampler.expected(len(f.clients))
        round = ServerRound(number, f.seed, cohort, len(f.clients), expected=expected, down=down)
        round.server = f.clients.server(round, engine.here, state.counters)
        logger.cohort(number, len(cohort))

        # broadcast, local update
        own = [f.aggregator.download(state.server, client) for client in cohort]
        record = RoundRecord(len(cohort), size(flat(down)) * len(cohort) + sum(size(flat(o)) for o in own))
        received = f.reduction.start(f.weighting, round)
        update = LocalUpdate(f.aggregator, f.uploads, f.reduction, f.weighting, *assessment.wanted(number, cohort))
        states = [kept or fresh for kept in state.clients.get(cohort)]
        new_states: list[tuple[int, ClientState]] = []
        counters = state.counters
        handed = Cohort(f.clients.jobs(round), down, own, states, state.counters)
        for back in engine.run(update, handed):
            here = back.rows([r for r, moved in enumerate(back.moved) if moved])  # the others: as if never asked
            record.failed += len(back.failures)
            record.dropped += len(back.moved) - len(here.clients)
            record.arrived += len(here.clients)
            record.facts += here.facts
            round.arrived += here.clients
            new_states += zip(here.clients, here.states, strict=True)
            logger.client_done(number, len(round.arrived))
            if not here.clients:
                continue
            counters = keep_largest(counters, here.counters)
            record.sent(here.wire)
            wire = here.wire
            for upload in reversed(f.uploads):
                wire = upload.decode(wire)
            if not f.reduction.blind:
                record.message(wire, here.examples)
                wire = flat(f.aggregator.unpack(whole(wire)))
            received.add(here.clients, wire, here.examples)
        fitted = time.perf_counter()

        # reduce, server update
        reduced = received.finish()
        server = f.aggregator.server_update(state.server, reduced, round) if reduced else state.server
        state.clients.put(number, new_states)
        state.server, state.counters, state.round = server, counters, number
        state.failed += record.failed
        aggregated = time.perf_counter()

        # evaluate, record, save
        row, pictures = assessment(f, state, engine, number)
        evaluated = time.perf_counter()
        row |= record.row()
        row |= {
            "time/fit": fitted - begin,
            "time/aggregate": aggregated - fitted,
            "time/evaluate": evaluated - aggregated,
        }
        state.seconds += evaluated - begin
        if assessment.chose(state, row):
            checkpoints.save_best(state)
        logger.round(number, row, pictures)
        assessment.write_clients(number, record.facts)
        checkpoints.save_if_due(state)
    return state
