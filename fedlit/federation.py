"""What does not change during a run: who takes part, and by which algorithm. Every loop over rounds is given one."""

from __future__ import annotations

from dataclasses import dataclass

from fedlit.aggregators.base import Aggregator
from fedlit.clients import Clients
from fedlit.messages.pipeline import Pipeline
from fedlit.model_vectors import Model
from fedlit.round import Round
from fedlit.samplers import Sampler
from fedlit.state import FederationState
from fedlit.training import Cohort


@dataclass
class Federation:
    aggregator: Aggregator
    sampler: Sampler
    pipeline: Pipeline
    clients: Clients
    start: Model  # the first weights, from the seed alone
    seed: int
    rounds: int

    def cohort(self, round: Round, state: FederationState, stateless: bool = False) -> Cohort:
        """The clients of a round with what each is handed: the broadcast, its own download, and the state it kept.

        Args:
            stateless: hand over the broadcast alone, for work that neither reads nor writes what clients keep.
        """
        first = {"algorithm": self.aggregator.client_state(self.start)}
        kept = [None] * len(round.cohort) if stateless else state.clients.get(round.cohort)
        downloads = [{} if stateless else self.aggregator.download(state.server, client) for client in round.cohort]
        broadcast = self.aggregator.broadcast(state.server)
        return Cohort(self.clients.jobs(round), broadcast, downloads, [one or first for one in kept], state.counters)
