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
from fedlit.messages.pipeline import ASKED, ASKED_OF_EACH, KEPT, Pipeline
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

    def new_states(self) -> list[tuple[int, ClientState]]:
        """The states of the clients that have arrived, without what they kept for the trips of this round."""
        return [(client, {k: v for k, v in state.items() if k != KEPT}) for client, state in self.states]

    def add_answers(self, chunk: Returned) -> list[tuple[int, ClientState]]:
        """Add a chunk of a later trip; returns the clients that answered, with their states."""
        refusals = [facts.get("refused", "") for facts in chunk.facts]
        received = self.inbox.answered(chunk.clients, chunk.wire, chunk.examples, refusals)
        answers = chunk.rows(received.rows)
        self.record.add_answers(answers, received.refusals)
        return list(zip(answers.clients, answers.states, strict=True))


def later_trips(pipeline: Pipeline, engine: Engine, arrivals: Arrivals, jobs: Sequence[Job]) -> None:
    """The later trips of a round: clients answer what the server has made of the trip before. A client that fails in
    one of them is not asked again; if its message is not in the sum yet, it is lost.

    Args:
        jobs: of the whole cohort.
    """
    answering = arrivals.states
    for trip in range(2, pipeline.trips + 1):
        if not answering:
            return
        asked = arrivals.inbox.ask_again([client for client, _ in answering])
        if not asked.clients:
            return
        arrivals.record.add_trip(len(asked.clients) * num_bytes(asked.to_all) + num_bytes(asked.to_each))
        cohort = Cohort(
            [jobs[row] for row in asked.rows_of([job.client for job in jobs])],
            {ASKED: asked.to_all},
            {ASKED_OF_EACH: asked.to_each} if asked.to_each else {},
            [answering[row][1] for row in asked.rows_of([client for client, _ in answering])],
            arrivals.counters,
        )
        answering = []
        for chunk in engine.run(TripTask(pipeline, trip), cohort):
            answering += arrivals.add_answers(chunk)
        if trip <= pipeline.message_trip:
            arrived = [client for client, _ in answering]
            arrivals.record.keep(arrived)
            arrivals.states, arrivals.round.arrived[:] = answering, arrived
