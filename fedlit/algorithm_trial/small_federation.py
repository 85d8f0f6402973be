"""Rounds of one or two small clients, with the worker, the pipeline and the server's step of a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.algorithm_trial.comparison import Outcome, difference
from fedlit.algorithm_trial.stages import check_stages
from fedlit.algorithm_trial.trial_size import TrialSize
from fedlit.algorithm_trial.watched_aggregator import WatchedAggregator
from fedlit.algorithm_trial.watched_client import WatchedClient
from fedlit.attacks.collusion import Collusion
from fedlit.client import ClientState
from fedlit.client_tasks import TrainTask
from fedlit.clients import Clients
from fedlit.device_copies import to_device
from fedlit.messages.inbox import Inbox
from fedlit.messages.pipeline import Pipeline
from fedlit.messages.reductions import All, Mean
from fedlit.messages.reductions.rule import RobustRule
from fedlit.messages.wire import Wire
from fedlit.model_vectors import stack, tree_map
from fedlit.round import Round
from fedlit.server_round import ServerClient, ServerRound
from fedlit.training import Cohort, Job, Returned, Worker
from fedlit.training.chunk_client import ChunkClient

log = logging.getLogger(__name__)
_NUMBERS = 2_000_000  # in the models of all clients: more clients are left out, because algorithms keep a model each
_LEAST_CLIENTS = 8


@dataclass
class RoundInputs:
    """What a round begins with."""

    number: int
    server: dict[str, Any]
    states: list[ClientState]


@dataclass(frozen=True)
class InputNoise:
    """Random changes of all that the clients get, of a relative size."""

    size: float
    seed: int


class SmallFederation:
    """
    Args:
        counters: the module's integer buffers at the start.
        size: of the trial.
        chunks: the clients are trained in the worker's chunks; else one by one, as an engine trains the clients of a
            chunk that failed.
        lr_factors: of the clients' learning rates and of the server's.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        clients: Clients,
        worker: Worker,
        counters: dict[str, Tensor],
        seed: int,
        size: TrialSize,
        chunks: bool,
        lr_factors: tuple[float, float] = (1.0, 1.0),
    ):
        self.pipeline, self.federation = pipeline, clients
        self.worker, self.counters, self.seed, self.lr_factors = worker, counters, seed, lr_factors
        self.layout = worker.host.layout
        self.clients = min(len(clients), max(_LEAST_CLIENTS, _NUMBERS // self.layout.size))
        self.batch = min(size.batch, clients.batch_size)
        self.sizes = size.samples[: self.clients]
        self.cohort = list(range(len(self.sizes)))
        self.chunks = [slice(r, r + 1) for r in self.cohort]
        if chunks:
            self.chunks = list(worker.chunks(self.jobs(Round(1, seed, self.cohort, self.clients))))
        self.stacked = len(self.chunks) < len(self.cohort)
        if not self.stacked:
            self.sizes = size.single[: self.clients]
            self.cohort, self.chunks = self.cohort[: len(self.sizes)], self.chunks[: len(self.sizes)]

    @property
    def _public(self) -> np.ndarray:
        return self.federation.public[: self.batch]

    # --- what clients get --------------------------------------------------------------------------
    def jobs(self, round: Round) -> list[Job]:
        total = sum(self.sizes)
        samples = np.resize(np.arange(min(len(self.worker.host.data.train), total)), total)
        validation = samples[: self.batch] if len(self.federation.validation.indices) else samples[:0]
        parts = np.split(samples, np.cumsum(self.sizes)[:-1])
        return [Job(c, round, self.batch, 1, parts[c], validation, samples[:0], self._public) for c in self.cohort]

    def round(self, number: int, purpose: str = "train") -> ServerRound:
        round = ServerRound(number, self.seed, self.cohort, self.clients, purpose)
        round.expected, round.device = float(len(self.cohort)), self.layout.device
        round.lr_factor, round.scheduled_server_lr = self.lr_factors
        return round

    def downloads(self, algorithm: WatchedAggregator, server: dict[str, Any], round: ServerRound) -> dict[str, Any]:
        """What each client receives in addition to the broadcast, (K, ...)."""
        return {} if algorithm.is_default("download") else algorithm.download(server, self._numbers(), round)

    def _numbers(self) -> Tensor:
        return to_device(self.cohort, self.layout.device)

    def _cohort(
        self, algorithm: WatchedAggregator, inputs: RoundInputs, round: ServerRound, noise: InputNoise | None
    ) -> Cohort:
        """Sets `round.broadcast`."""
        round.broadcast = algorithm.broadcast(inputs.server)
        downloads = self.downloads(algorithm, inputs.server, round)
        jobs = self.jobs(round.for_clients())
        of_stages = self._pipeline(algorithm).broadcast(self._messages_state())
        broadcast = self._pipeline(algorithm).with_broadcasts(round.broadcast, of_stages)
        cohort = Cohort(jobs, broadcast, downloads, inputs.states, self.counters)
        return cohort if noise is None else _perturbed(cohort, noise)

    def _run(self, task: Any, cohort: Cohort, together: bool) -> list[Returned]:
        chunks = self.chunks if together else [slice(r, r + 1) for r in self.cohort]
        return [self.worker.run(task, cohort[rows]) for rows in chunks]

    # --- one round ---------------------------------------------------------------------------------
    def train(
        self,
        algorithm: WatchedAggregator,
        inputs: RoundInputs,
        together: bool = True,
        noise: InputNoise | None = None,
    ) -> tuple[ServerRound, list[Returned]]:
        """What the clients return; the algorithm notes its results.

        Args:
            together: in chunks, else each client alone.
        """
        round = self.round(inputs.number)
        algorithm.results.clear()
        cohort = self._cohort(algorithm, inputs, round, noise)
        return round, self._run(TrainTask(self._pipeline(algorithm)), cohort, together)

    def outcome(
        self,
        algorithm: WatchedAggregator,
        inputs: RoundInputs,
        together: bool = True,
        noise: InputNoise | None = None,
    ) -> Outcome:
        """What is compared, of each client: its message and its new state, as noted, and its personal model."""
        outcome: Outcome = [{"the message": message, "the state": state} for message, state in algorithm.results]
        if not algorithm.is_default("personal") and not self.federation.pooled:
            algorithm.models.clear()
            cohort = self._cohort(algorithm, inputs, self.round(inputs.number, "evaluate"), noise)
            self._run(_PersonalTask(algorithm), cohort, together)
            for client, model in zip(outcome, algorithm.models, strict=True):
                client["the personal model"] = model
        return outcome

    def reduce(self, algorithm: WatchedAggregator, round: ServerRound, returned: Sequence[Returned]) -> dict[str, Any]:
        """The reduced message, of the clients that made a step and sent finite numbers. Empty where there is none, or
        where a user's reduction fails on so few messages. A robust rule, which may need more, is replaced by a mean."""
        round.server_client = self._server_client(algorithm, round)
        pipeline = self._pipeline(algorithm)
        if isinstance(pipeline.reduction, Collusion):  # malicious clients say nothing of the algorithm
            pipeline = replace(pipeline, reduction=pipeline.reduction.inner)
        if isinstance(pipeline.reduction, RobustRule):
            pipeline = replace(pipeline, reduction=Mean())
        state = pipeline.server_state(self.layout.read(self.worker.host.module))
        inbox = Inbox(pipeline, round, state)
        try:
            for chunk in returned:
                rows = [r for r, facts in enumerate(chunk.facts) if chunk.moved[r] and not facts.get("not_finite")]
                arrived = chunk.rows(rows)
                inbox.add(
                    arrived.clients, arrived.wire, arrived.examples, [f.get("refused", "") for f in arrived.facts]
                )
            return inbox.reduced().message
        except Exception:
            if type(pipeline.reduction) in (Mean, All):
                raise
            log.info("%s could not be tried before the run", type(pipeline.reduction).__name__, exc_info=True)
            return {}

    def check_stages(self, algorithm: WatchedAggregator, inputs: RoundInputs, tolerance: float) -> None:
        """Send the messages of the first chunk, which the algorithm has noted, once more through the stages."""
        jobs, k = (
            self.jobs(Round(inputs.number, self.seed, self.cohort, self.clients)),
            len(self.cohort[self.chunks[0]]),
        )
        check_stages(
            self._pipeline(algorithm),
            lambda rows: self.worker.client([jobs[r] for r in rows], self.counters, [{} for _ in rows]),
            stack([message for message, _ in algorithm.results[:k]]),
            inputs.states[:k],
            self._messages_state(),
            tolerance,
        )

    def server_update(
        self, algorithm: WatchedAggregator, server: dict[str, Any], reduced: dict[str, Any], round: ServerRound
    ) -> dict[str, Any]:
        """The new server state; the old one where nothing was reduced."""
        round.server_client = self._server_client(algorithm, round)
        return algorithm.server_update(server, reduced, round) if reduced else server

    def states(self, returned: Sequence[Returned], before: list[ClientState]) -> list[ClientState]:
        """The clients' states after the round."""
        after = dict(zip(self.cohort, before, strict=True))
        for chunk in returned:
            after |= {c: s for c, s, moved in zip(chunk.clients, chunk.states, chunk.moved, strict=True) if moved}
        return [after[client] for client in self.cohort]

    def repeats(self, tolerance: float) -> bool:
        """Whether a plain fit gives the same numbers twice. It does not where module or data draw in a way of their
        own, such as numpy.random.default_rng()."""
        jobs = self.jobs(Round(1, self.seed, self.cohort, self.clients))[:1]
        start = self.layout.read(self.worker.host.module)
        first, second = (self.worker.client(jobs, self.counters, [{}]).fit(start).model for _ in range(2))
        return not difference(first, second, tolerance)

    def _pipeline(self, algorithm: WatchedAggregator) -> Pipeline:
        """Stages and reductions of several trips are left to the first round."""
        uplink = {name: stage for name, stage in self.pipeline.uplink.items() if stage.trips == 1}
        reduction = self.pipeline.reduction if self.pipeline.reduction.trips == 1 else Mean()
        return replace(self.pipeline, aggregator=algorithm, uplink=uplink, reduction=reduction)

    def _messages_state(self) -> dict[str, Any]:
        return self.pipeline.server_state(self.layout.read(self.worker.host.module))

    def _server_client(self, algorithm: WatchedAggregator, round: ServerRound) -> ServerClient | None:
        samples = self.federation.server_samples[: max(self.sizes)]
        if not len(samples) and not len(self._public):
            return None
        server_round = Round(round.number, self.seed, [-1], self.clients, "server")
        job = Job(-1, server_round, self.batch, 1, samples, samples[:0], samples[:0], self._public)
        client = self.worker.client([job], self.counters, [{}])
        watched = WatchedClient(f"{algorithm.name}.server_update", client, self.layout)
        return ServerClient(watched, has_samples=len(samples) > 0)


@dataclass
class _PersonalTask:
    """Calls `personal`, which notes its result."""

    algorithm: WatchedAggregator

    def __call__(
        self, client: ChunkClient, received: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        self.algorithm.personal(client, received, stack([state["algorithm"] for state in states]))
        return {}, [{} for _ in states]


def _perturbed(cohort: Cohort, noise: InputNoise) -> Cohort:
    rng = torch.Generator().manual_seed(noise.seed)

    def noisy(t: Tensor) -> Tensor:
        if not t.is_floating_point():
            return t
        factors = 1 + noise.size * (2 * torch.rand(t.shape, generator=rng, dtype=torch.float64) - 1)
        return (t.double() * factors.to(t.device)).to(t.dtype)

    return Cohort(
        cohort.jobs,
        tree_map(noisy, cohort.broadcast),
        tree_map(noisy, cohort.downloads),
        [state | {"algorithm": tree_map(noisy, state["algorithm"])} for state in cohort.states],
        cohort.counters,
    )
