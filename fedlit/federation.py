"""The constants of a run: clients, algorithm, sampler, pipeline of messages. Every loop over rounds gets one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fedlit.aggregators.base import Aggregator, State
from fedlit.attacks import Attack, NoAttack
from fedlit.clients import Clients
from fedlit.device_copies import to_device
from fedlit.messages.delivery import Delivered, deliver, downlink_state
from fedlit.messages.downlink import DownlinkStage
from fedlit.messages.inbox import Inbox
from fedlit.messages.pipeline import Pipeline
from fedlit.messages.wire import check_rows, flatten_message
from fedlit.metric_names import CLIENT_LR, SERVER_LR, Row
from fedlit.model_vectors import Model
from fedlit.samplers import Sampler, checked_expected
from fedlit.schedules import Constant, RoundSchedule, checked_factor
from fedlit.server_round import ServerRound
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
    lr_schedule: RoundSchedule = field(default_factory=Constant)  # of the clients' learning rates
    server_lr_schedule: RoundSchedule = field(default_factory=Constant)
    downlink: dict[str, DownlinkStage] = field(default_factory=dict)  # by name, in the order of the broadcast's way
    attack: Attack = field(default_factory=NoAttack)

    def messages_state(self) -> dict[str, Any]:
        """What the server keeps of stages and reduction before the first round."""
        state = self.pipeline.server_state(self.initial_model)
        return state | {"downlink": downlink_state(self.downlink, len(self.clients))}

    def deliver(self, state: FederationState, round: ServerRound) -> Delivered:
        """What the clients of the round receive of the algorithm's broadcast."""
        return deliver(self.downlink, self.aggregator.broadcast(state.server), state.messages["downlink"], round)

    def training_broadcast(self, state: FederationState) -> State:
        """The broadcast to clients that train, with those of the stages, before the downlink."""
        of_stages = self.pipeline.broadcast(state.messages)
        return self.pipeline.with_broadcasts(self.aggregator.broadcast(state.server), of_stages)

    def inbox(self, state: FederationState, round: ServerRound) -> Inbox:
        """The server's half of the messages of a round."""
        return Inbox(self.pipeline, round, state.messages)

    def lr_factors(self, round_number: int) -> tuple[float, float]:
        """The factors of the clients' and of the server's learning rates in a round."""
        clients, server = (
            checked_factor(schedule, round_number, self.rounds)
            for schedule in (self.lr_schedule, self.server_lr_schedule)
        )
        return clients, server

    def schedule_row(self, round_number: int) -> Row:
        """The factors of the schedules that change a learning rate."""
        schedules = (self.lr_schedule, self.server_lr_schedule)
        named = zip(schedules, (CLIENT_LR, SERVER_LR), self.lr_factors(round_number), strict=True)
        return {name: factor for schedule, name, factor in named if schedule.changes}

    def round(self, number: int, clients: Sequence[int], purpose: str = "train") -> ServerRound:
        """A round that asks these clients, in this order."""
        round = ServerRound(number, self.seed, list(clients), len(self.clients), purpose)
        round.lr_factor, round.scheduled_server_lr = self.lr_factors(number)
        round.expected = checked_expected(self.sampler, len(self.clients))
        round.device = self.initial_model.weights.device
        return round

    def apart(self) -> Federation:
        """This federation with each client on its own shard, where one client trains on all of them."""
        return self if self.clients.apart is None else replace(self, clients=self.clients.apart)

    def cohort(
        self, round: ServerRound, state: FederationState, broadcast: State | None = None, stateless: bool = False
    ) -> Cohort:
        """The clients of a round, with the broadcast, their own downloads and their states.

        Args:
            broadcast: what all clients receive; None asks the algorithm.
            stateless: only the broadcast, for tasks that neither read nor write client states.

        Raises:
            InputError: the downloads have no row for each client.
        """
        initial = {"algorithm": self.aggregator.client_state(self.initial_model)}
        kept = [None] * len(round.cohort) if stateless else state.clients.get(round.cohort)
        downloads = {} if stateless else self.downloads(state, round)
        broadcast = self.aggregator.broadcast(state.server) if broadcast is None else broadcast
        states = [client_state or initial for client_state in kept]
        return Cohort(self.clients.jobs(round), broadcast, downloads, states, state.counters)

    def downloads(self, state: FederationState, round: ServerRound) -> State:
        """What each client of the round receives in addition to the broadcast, (K, ...)."""
        if type(self.aggregator).download is Aggregator.download or not round.cohort:
            return {}
        downloads = self.aggregator.download(state.server, to_device(round.cohort, round.device), round)
        check_rows(flatten_message(downloads), len(round.cohort), f"download of {self.aggregator}", "its result")
        return downloads
