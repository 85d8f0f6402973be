"""Two rounds of two small clients before the run: together, again, and each client alone on a fresh copy.

The trial runs on a copy of the module in 64 bits, where rounding cannot hide or feign a difference; and in the run's
precision where the module is large or the algorithm works in one floating type only. Under a worker with one client a
chunk (trainer=lightning, a module that cannot be stacked) "together" is one after the other. Then a mixing of clients
can neither happen nor show, and the other checks remain.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit import interrupts
from fedlit.aggregators import Aggregator
from fedlit.algorithm_trial.comparison import difference, explained_by_rounding
from fedlit.algorithm_trial.kept_attributes import SharedValues
from fedlit.algorithm_trial.stages import check_stages
from fedlit.algorithm_trial.trees import cloned, tensors
from fedlit.algorithm_trial.watched_aggregator import WatchedAggregator
from fedlit.algorithm_trial.watched_client import WatchedClient
from fedlit.algorithm_trial.weighting import check_keys, check_values
from fedlit.client import ClientState
from fedlit.client_tasks import TrainTask
from fedlit.clients import Clients
from fedlit.errors import InputError
from fedlit.global_generators import isolated_generators
from fedlit.messages import run_weighting
from fedlit.messages.pipeline import Pipeline
from fedlit.messages.reductions import All, Mean, Reduction
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire
from fedlit.model_vectors import Model, stack, tree_map
from fedlit.randomness import seed_number
from fedlit.round import Round
from fedlit.server_round import ServerClient, ServerRound
from fedlit.training import Cohort, Job, Returned, Worker
from fedlit.training.chunk_client import ChunkClient

log = logging.getLogger(__name__)
_SIZES = 8, 4  # samples of the two clients: in their second step one of them trains alone
_BATCH = 4  # batch normalisation works on halves of it, for algorithms that split a batch
_EXACT = 1_000_000  # weights of the largest module that is tried in 64 bits, where convolutions are slow
_NUMBERS = 10_000_000  # in the models of all clients: more clients are left out, because algorithms keep a model each


def try_algorithm(
    aggregator: Aggregator,
    uplink: Mapping[str, Stage],
    reduction: Reduction,
    clients: Clients,
    worker: Worker,
    counters: dict[str, Tensor],
    seed: int,
) -> None:
    """Try a copy of an algorithm. Nothing of it remains.

    An exception that is no mistake against the contract is left to the first round, which shows its trace: it may come
    from the trial's small batches.

    Args:
        aggregator: before its `setup`.
        worker: of this process; a copy of its module is trained.
        counters: the module's integer buffers at the start.

    Raises:
        InputError: a mistake against the contract, in one sentence.
    """
    check_values(aggregator)
    shared, options = SharedValues(aggregator), worker.host.options
    failure: Exception | None = None
    try:
        with isolated_generators(seed):
            exact = [("64-true", True)] if worker.host.layout.size <= _EXACT else []
            for precision, chunks in [*exact, (options.precision, True), (options.precision, False)]:
                try:
                    trial_worker = worker.for_trial(precision)
                    if trial_worker is not None:
                        trial = _Trial(aggregator, uplink, reduction, clients, trial_worker, counters, seed, chunks)
                        trial.run()
                    return
                except (InputError, interrupts.Interrupted):
                    raise
                except Exception as error:
                    failure = error
    except interrupts.Interrupted:
        return  # the first round sees the request again
    finally:
        shared.restore()
    log.info("%s could not be tried before the run", type(aggregator).__name__, exc_info=failure)


@dataclass
class _RoundInputs:
    """What a round begins with."""

    number: int
    server: dict[str, Any]
    states: list[ClientState]


class _Trial:
    """
    Args:
        chunks: the clients are trained in the worker's chunks; else one by one, as an engine trains the clients of a
            chunk that failed.
    """

    def __init__(
        self,
        aggregator: Aggregator,
        uplink: Mapping[str, Stage],
        reduction: Reduction,
        clients: Clients,
        worker: Worker,
        counters: dict[str, Tensor],
        seed: int,
        chunks: bool,
    ):
        self.aggregator, self.uplink, self.reduction = aggregator, uplink, reduction
        self.federation, self.worker, self.counters = clients, worker, counters
        self.seed, self.chunks = seed, chunks
        self.host, self.layout = worker.host, worker.host.layout
        self.model = self.layout.read(self.host.module)
        self.clients = min(len(clients), max(8, _NUMBERS // self.layout.size))
        self.cohort = list(range(min(2, self.clients)))
        exact = self.layout.dtype == torch.float64
        self.tolerance, self.rounding = (1e-6, 1e-13) if exact else (1e-2, 1e-6)

    def run(self) -> None:
        used = self._copy()
        server = used.server_state(self.model, torch.Generator().manual_seed(seed_number(self.seed, "server")))
        states: list[ClientState] = [{"algorithm": used.client_state(self.model)} for _ in self.cohort]
        for number in (1, 2):
            inputs = _RoundInputs(number, server, states)
            round, returned = self._round(used, inputs, together=True)
            server, reduced = self._server_update(used, inputs.server, round, returned)
            used.global_model(server)
            states = self._states(returned, states)
        check_keys(self.aggregator, used.keys)
        self._check_stages(used, inputs, len(returned[0].clients))
        together = self._outcome(used, inputs, together=True)
        used.settled = True
        self._round(used, inputs, together=True)
        self._check_equal(used, together, self._outcome(used, inputs, together=True))
        if reduced and difference(server, self._stepped(used, inputs.server, reduced, round), self.tolerance):
            raise InputError(_twice(used, "server_update"))
        if len(returned) < len(self.cohort) or used.touched or any(w.adjusts for w in used.watched.values()):
            self._compare_alone(used, inputs, together)

    # --- one round ---------------------------------------------------------------------------------
    def _copy(self, by_pieces: bool = False) -> WatchedAggregator:
        averages = type(self.reduction) is Mean
        return WatchedAggregator(_copied(self.aggregator), self.layout, self.clients, averages, by_pieces)

    def _pipeline(self, algorithm: WatchedAggregator) -> Pipeline:
        return Pipeline(algorithm, self.uplink, self.reduction, run_weighting(self.aggregator, self.uplink))

    def _round(
        self, algorithm: WatchedAggregator, inputs: _RoundInputs, together: bool, noise: int | None = None
    ) -> tuple[ServerRound, list[Returned]]:
        """What the clients return; the algorithm notes its results.

        Args:
            together: in the worker's chunks, else each client alone.
            noise: changes what the clients get by rounding errors of this number.
        """
        round = ServerRound(inputs.number, self.seed, self.cohort, self.clients)
        round.expected = float(len(self.cohort))
        round.broadcast = algorithm.broadcast(inputs.server)
        algorithm.results.clear()
        task, cohort = TrainTask(self._pipeline(algorithm)), self._cohort(algorithm, inputs, round.for_clients(), noise)
        returned = [self.worker.run(task, cohort[rows]) for rows in self._chunks(cohort, together, algorithm.name)]
        return round, returned

    def _jobs(self, round: Round) -> list[Job]:
        samples = np.resize(np.arange(min(len(self.host.data.train), sum(_SIZES))), sum(_SIZES))
        size = min(_BATCH, self.federation.batch_size)
        validation = samples[:4] if len(self.federation.validation.indices) else samples[:0]
        parts = samples[: _SIZES[0]], samples[_SIZES[0] :]
        return [Job(c, round, size, 1, parts[c], validation) for c in round.cohort]

    def _cohort(self, algorithm: WatchedAggregator, inputs: _RoundInputs, round: Round, noise: int | None) -> Cohort:
        broadcast = algorithm.broadcast(inputs.server)
        downloads = [algorithm.download(inputs.server, client) for client in self.cohort]
        cohort = Cohort(self._jobs(round), broadcast, downloads, inputs.states, self.counters)
        return cohort if noise is None else self._perturbed(cohort, noise)

    def _chunks(self, cohort: Cohort, together: bool, name: str) -> list[slice]:
        if not together or not self.chunks:
            return [slice(r, r + 1) for r in range(len(cohort))]
        chunks = list(self.worker.chunks(cohort.jobs))
        for rows in chunks:
            first, *others = cohort.downloads[rows]
            for other in others:
                if first.keys() != other.keys():
                    key = min(first.keys() ^ other.keys())
                    raise InputError(
                        f"{name}.download returns {key!r} for some clients only; return the same keys for all clients, "
                        "because they are trained together."
                    )
        return chunks

    def _perturbed(self, cohort: Cohort, seed: int) -> Cohort:
        """The cohort with rounding errors in all that the clients get."""
        rng = torch.Generator().manual_seed(seed)

        def noisy(t: Tensor) -> Tensor:
            if not t.is_floating_point():
                return t
            noise = 2 * torch.rand(t.shape, generator=rng, dtype=torch.float64) - 1
            return t * (1 + self.rounding * noise).to(t)

        broadcast, downloads, states = (
            tree_map(noisy, cohort.broadcast),
            [tree_map(noisy, download) for download in cohort.downloads],
            [state | {"algorithm": tree_map(noisy, state["algorithm"])} for state in cohort.states],
        )
        return Cohort(cohort.jobs, broadcast, downloads, states, cohort.counters)

    def _server_client(self, algorithm: WatchedAggregator, round: ServerRound) -> ServerClient | None:
        if not len(self.federation.server_samples):
            return None
        purpose = Round(round.number, self.seed, [-1], self.clients, "server")
        job = Job(-1, purpose, min(_BATCH, self.federation.batch_size), 1, self.federation.server_samples[: _SIZES[0]])
        client = self.worker.client([job], self.counters, [{}])
        return ServerClient(WatchedClient(f"{algorithm.name}.server_update", client, self.layout))

    def _server_update(
        self, algorithm: WatchedAggregator, server: dict[str, Any], round: ServerRound, returned: Sequence[Returned]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The new server state, and the reduced message: empty where a user's reduction fails on two messages, because
        a rule may need more, such as a trimmed mean."""
        round.server_client = self._server_client(algorithm, round)
        try:
            reduced = self._reduced(algorithm, round, returned)
        except interrupts.Interrupted:
            raise
        except Exception:
            if type(self.reduction) in (Mean, All):
                raise
            log.info("%s was not tried before the run", type(self.reduction).__name__, exc_info=True)
            reduced = {}
        return (self._stepped(algorithm, server, reduced, round) if reduced else server), reduced

    def _reduced(
        self, algorithm: WatchedAggregator, round: ServerRound, returned: Sequence[Returned]
    ) -> dict[str, Any]:
        inbox = self._pipeline(algorithm).inbox(round)
        for chunk in returned:
            moved = chunk.rows([r for r, made_step in enumerate(chunk.moved) if made_step])
            if moved.clients:
                inbox.add(moved.clients, moved.wire, moved.examples)
        return inbox.reduced()

    def _stepped(
        self, algorithm: WatchedAggregator, server: dict[str, Any], reduced: dict[str, Any], round: ServerRound
    ) -> dict[str, Any]:
        round.server_client = self._server_client(algorithm, round)
        return algorithm.server_update(server, reduced, round)

    def _states(self, returned: Sequence[Returned], before: list[ClientState]) -> list[ClientState]:
        after = dict(zip(self.cohort, before, strict=True))
        for chunk in returned:
            after |= {c: s for c, s, moved in zip(chunk.clients, chunk.states, chunk.moved, strict=True) if moved}
        return [after[client] for client in self.cohort]

    def _check_stages(self, algorithm: WatchedAggregator, inputs: _RoundInputs, k: int) -> None:
        """The message of the first chunk, of k clients, once more through the stages."""
        jobs = self._jobs(Round(inputs.number, self.seed, self.cohort, self.clients))
        check_stages(
            self._pipeline(algorithm),
            lambda rows: self.worker.client([jobs[r] for r in rows], self.counters, [{} for _ in rows]),
            algorithm.results[0][0],
            inputs.states[:k],
            self.tolerance,
        )

    # --- comparisons ---------------------------------------------------------------------------------
    def _outcome(
        self, algorithm: WatchedAggregator, inputs: _RoundInputs, together: bool, noise: int | None = None
    ) -> list[dict[str, Any]]:
        """What is compared, of each client, after a round: its message, its new state and its personal model."""
        outcome = [
            {"the message": _row(message, r), "the state": _row(state, r)}
            for message, state in algorithm.results
            for r in range(_rows(message, state))
        ]
        if not algorithm.is_default("personal") and not self.federation.pooled:
            for client, model in zip(outcome, self._personal(algorithm, inputs, together, noise), strict=True):
                client["the personal model"] = model
        return outcome

    def _personal(
        self, algorithm: WatchedAggregator, inputs: _RoundInputs, together: bool, noise: int | None
    ) -> list[Model]:
        algorithm.models.clear()
        round = Round(inputs.number, self.seed, self.cohort, self.clients, "evaluate")
        cohort = self._cohort(algorithm, inputs, round, noise)
        for rows in self._chunks(cohort, together, algorithm.name):
            self.worker.run(_PersonalTask(algorithm), cohort[rows])
        return [model[r] for model in algorithm.models for r in range(len(model.weights))]

    def _check_equal(self, used: WatchedAggregator, first: list[dict[str, Any]], second: list[dict[str, Any]]) -> None:
        """A round once more gives the same."""
        differing = self._differing(first, second)
        if differing:
            raise InputError(_twice(used, _method(differing)))

    def _compare_alone(self, used: WatchedAggregator, inputs: _RoundInputs, together: list[dict[str, Any]]) -> None:
        """Each client alone, on a fresh copy, gives the same as together with the other."""
        pieces = self._alone(inputs, by_pieces=True)
        differing = self._differing(together, pieces)
        if not differing:
            return
        noisy = [self._differing(pieces, self._alone(inputs, True, number)) for number in range(3)]
        if explained_by_rounding(differing, noisy):
            return
        if used.touched:
            raise InputError(used.kept_sentence(next(iter(used.touched))))
        watched = used.watched[_method(differing)]
        if watched.adjusts and not self._differing(together, self._alone(inputs, by_pieces=False)):
            raise InputError(watched.not_elementwise())
        raise InputError(watched.closed_over or _mixes(watched, next(iter(differing))))

    def _alone(self, inputs: _RoundInputs, by_pieces: bool, noise: int | None = None) -> list[dict[str, Any]]:
        fresh = self._copy(by_pieces)
        fresh.client_state(self.model)
        self._round(fresh, inputs, together=False, noise=noise)
        return self._outcome(fresh, inputs, together=False, noise=noise)

    def _differing(self, first: list[dict[str, Any]], second: list[dict[str, Any]]) -> dict[str, Tensor | None]:
        """The differences of both clients, by path (see `difference`)."""
        differing: dict[str, Tensor | None] = {}
        for client, (left, right) in enumerate(zip(first, second, strict=True)):
            for path, positions in difference(left, right, self.tolerance).items():
                differing[f"{path} of client {client}"] = positions
        return differing


@dataclass
class _PersonalTask:
    """Calls `personal`, which notes its result."""

    algorithm: WatchedAggregator

    def __call__(
        self, client: ChunkClient, received: dict[str, Any], states: list[ClientState]
    ) -> tuple[Wire, list[ClientState]]:
        self.algorithm.personal(client, received, stack([state["algorithm"] for state in states]))
        return {}, [{} for _ in states]


def _copied(aggregator: Aggregator) -> Aggregator:
    """A deep copy; an attribute that cannot be copied is shared."""
    try:
        return copy.deepcopy(aggregator)
    except Exception:
        twin = copy.copy(aggregator)
        vars(twin).update({name: cloned(value) for name, value in vars(aggregator).items()})
        return twin


def _rows(*values: Any) -> int:
    return next((len(tensor) for value in values for tensor in tensors(value).values()), 1)


def _row(value: Any, r: int) -> Any:
    return tree_map(lambda t: t[r], value)


def _method(differing: Mapping[str, Any]) -> str:
    """The method that a difference comes from."""
    return "personal" if all(path.startswith("the personal model") for path in differing) else "local_update"


def _twice(algorithm: WatchedAggregator, method: str) -> str:
    if algorithm.touched:
        return algorithm.kept_sentence(next(iter(algorithm.touched)))
    return (
        f"{algorithm.name}.{method} gives other numbers when it is called again with the same arguments; keep "
        "numbers in a state, and draw from client.draw or round.generator."
    )


def _mixes(watched: WatchedClient, path: str) -> str:
    if watched.replaces:
        return (
            f"{watched.where}: its gradient_fn gives a client other numbers together with other clients than alone; "
            "add up the losses of the clients, torch.autograd.grad(step.loss(w).sum(), w)[0], and take no mean over K."
        )
    if watched.adjusts:
        return (
            f"{watched.where}: its adjust_gradient, or the code around it, gives a client other numbers together with "
            "other clients than alone; change each gradient elementwise, by its weights and by extras."
        )
    return (
        f"{watched.where} gives a client other numbers together with other clients than alone (in {path}); compute "
        "along the last axis with keepdim=True, and take no mean or sum over K."
    )
