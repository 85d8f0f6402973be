"""The constants of a run: clients, algorithm, sampler, pipeline of messages. Every loop over rounds gets one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fedlit.aggregators.base import Aggregator, State
from fedlit.clients import Clients
from fedlit.messages.pipeline import Pipeline
from fedlit.model_vectors import Model
from fedlit.round import Round
from fedlit.samplers import Sampler
from fedlit.state import FederationState
from fedlit.training.cohort import Cohort


@dataclass
class Federation:
    """Who takes part, and by which algorithm."""

    aggregator: Aggregator
    sampler: Sampler
    pipeline: Pipeline
    clients: Clients
    initial_model: Model  # depends on the seed only
    seed: int
    rounds: int

    def apart(self) -> Federation:
        """This federation with each client on its own shard, where one client trains on all of them."""
        return self if self.clients.apart is None else replace(self, clients=self.clients.apart)

    def cohort(
        self, round: Round, state: FederationState, broadcast: State | None = None, stateless: bool = False
    ) -> Cohort:
        """The clients of a round, with the broadcast, each client's own download and its state.

        Args:
            broadcast: what all clients receive; None asks the algorithm.
            stateless: only the broadcast, for tasks that neither read nor write client states.
        """
        initial = {"algorithm": self.aggregator.client_state(self.initial_model)}
        kept = [None] * len(round.cohort) if stateless else state.clients.get(round.cohort)
        downloads = [{} if stateless else self.aggregator.download(state.server, client) for client in round.cohort]
        broadcast = self.aggregator.broadcast(state.server) if broadcast is None else broadcast
        states = [client_state or initial for client_state in kept]
        return Cohort(self.clients.jobs(round), broadcast, downloads, states, state.counters)
