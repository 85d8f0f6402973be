"""What the cohort of a round has returned so far, and its later trips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from fedlit.client import ClientState
from fedlit.client_tasks import TripTask
from fedlit.engines import Engine
from fedlit.evaluation.round_record import RoundRecord
from fedlit.messages.inbox import Inbox
from fedlit.messages.pipeline import STAGE_BROADCASTS, Pipeline
from fedlit.messages.wire import num_bytes
from fedlit.server_round import ServerRound
from fedlit.state import keep_largest
from fedlit.training import Cohort, Returned
from fedlit.training.job import Job


@dataclass
class Arrivals:
    """What the cohort of a round has returned so far."""

    round: ServerRound
    inbox: Inbox
    record: RoundRecord
    counters: dict[str, Tensor]  # integer buffers, the largest of all clients
    states: list[tuple[int, ClientState]] = field(default_factory=list)

    def add(self, chunk: Returned) -> None:
        """Add a chunk. Clients that made no step, and clients whose messages are refused, are left out: they keep their
        states, and their messages are not reduced."""
        moved = chunk.rows([r for r, made_step in enumerate(chunk.moved) if made_step])
        refusals = [facts.get("refused", "") for facts in moved.facts]
        received = self.inbox.add(moved.clients, moved.wire, moved.examples, refusals)
        arrived = moved.rows(received.rows)
        self.record.add(chunk, moved, arrived, received.refusals)
        self.states += zip(arrived.clients, arrived.states, strict=True)
        if arrived.clients:
            self.counters = keep_largest(self.counters, arrived.counters)
            if received.decoded is not None:
                self.record.add_updates(received.decoded, arrived.examples)

    def jobs(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of the clients that have arrived, of all jobs of the cohort; both are in cohort order."""
        arrived, remaining = [], iter(jobs)
        for client, _ in self.states:
            arrived.append(next(job for job in remaining if job.client == client))
        return arrived

    def add_answers(self, chunk: Returned) -> None:
        """Add a chunk of a later trip."""
        self.inbox.answered(chunk.clients, chunk.wire, chunk.examples)
        self.record.add_answers(chunk)
        self.states += zip(chunk.clients, chunk.states, strict=True)


def ask_again(pipeline: Pipeline, engine: Engine, arrivals: Arrivals, jobs: Sequence[Job], trip: int) -> None:
    """A later trip of the round: the clients that arrived answer what the server has made of the trip before.

    Args:
        jobs: of the whole cohort.
        trip: its number, from 2.
    """
    if not arrivals.states:
        return
    asked = arrivals.inbox.ask_again()
    name = next(reversed(pipeline.uplink))
    arrivals.record.add_trip(len(arrivals.states), num_bytes(asked))
    states = [client_state for _, client_state in arrivals.states]
    cohort = Cohort(arrivals.jobs(jobs), {STAGE_BROADCASTS: {name: asked}}, {}, states, arrivals.counters)
    arrivals.states = []
    for chunk in engine.run(TripTask(pipeline, trip), cohort):
        arrivals.add_answers(chunk)
    answered = [client for client, _ in arrivals.states]
    arrivals.round.arrived[:] = answered
    arrivals.record.keep_only(answered)
