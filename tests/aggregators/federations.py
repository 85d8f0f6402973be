"""Small federations without a configuration, for the tests of algorithms, samplers and messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn

from fedlit.aggregators import Aggregator
from fedlit.attacks import Attack, NoAttack, ready_attack, with_attack
from fedlit.checkpoint import Checkpoints
from fedlit.clients import Clients
from fedlit.data import DataSource, TensorSamples
from fedlit.engines import Engine, Serial
from fedlit.evaluation import Evaluation
from fedlit.evaluation.evaluator import Evaluator
from fedlit.federation import Federation
from fedlit.messages.composition import chosen_reduction, run_weighting
from fedlit.messages.pipeline import Pipeline
from fedlit.messages.reductions import Reduction
from fedlit.messages.stages import Stage
from fedlit.model_vectors import Model
from fedlit.models.optimizer import give_optimizer
from fedlit.partitions import Shards
from fedlit.rounds import federate
from fedlit.samplers import All, Sampler
from fedlit.server_round import ServerRound
from fedlit.state import FederationState
from fedlit.stores import MemoryStore
from fedlit.tracking import Logger
from fedlit.training import JobData, Trainer
from fedlit.training.lightning import LightningTrainer
from fedlit.user_module.module_snapshot import counters
from tests.stacks import check_stacked

SIZES = (13, 4, 9, 6)  # training samples of the clients
TEST_SIZES = (5, 5, 5, 5)
WIDTH, CLASSES = 6, 3


class Net(pl.LightningModule):
    """Linear `body` and `head`, with optional normalisation and dropout between them."""

    def __init__(self, dropout: float = 0.0, norm: bool = False):
        super().__init__()
        self.body = nn.Linear(WIDTH, 5)
        self.norm = nn.BatchNorm1d(5) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.dropout(torch.relu(self.norm(self.body(x)))))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)


class Rows(Logger):
    """Keeps the rows that it gets."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def round(self, number: int, row: dict[str, Any], pictures: Mapping[str, np.ndarray]) -> None:
        self.rows.append(row)


class Listed(Sampler):
    """The listed cohorts, round by round."""

    def __init__(self, *cohorts: Sequence[int]):
        self.cohorts = cohorts

    def __call__(self, round: int, rng: np.random.Generator, clients: int, probe: Any) -> Sequence[int]:
        return self.cohorts[round - 1]

    def expected(self, clients: int) -> float:
        return float(np.mean([len(c) for c in self.cohorts]))


def numbers(scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Inputs (N, WIDTH) in double precision and classes (N,), for all training and test samples."""
    rng = np.random.default_rng(0)
    n = sum(SIZES) + sum(TEST_SIZES)
    x = rng.normal(size=(n, WIDTH))
    y = (x @ rng.normal(size=(WIDTH, CLASSES))).argmax(1)
    return torch.tensor(scale * x), torch.tensor(y)


def shards(*sizes: int, first: int = 0) -> Shards:
    """Shards of these sizes, one behind the other from the sample `first` on."""
    return Shards(first + np.arange(sum(sizes)), np.cumsum([0, *sizes]))


class Running:
    """A federation of four clients with unequal shards, in double precision, whose rounds run when a test calls `go`.

    Args:
        kind: class of the trainer; `trainer` are its arguments.
        samples: inputs and targets of all training and test samples; else `numbers`.
        sizes: training samples of the clients; with `validation_sizes` together at most those of `SIZES`.
        validation_sizes: validation samples of the clients; none if empty.
        test_sizes: test samples of the clients.
        engine: `Serial()` if None.
        optimizer: arguments of the clients' SGD.
        updates: `local_updates`.
        attack: what some clients do.
        server_samples: the first training samples are also the server's.
        falls_back: clients are trained one by one under stack="always", too. A stack that fails gives the same numbers
            in this way, so that a test of stacks would pass: a run fails in place of it.
    """

    def __init__(
        self,
        folder: Path,
        aggregator: Aggregator,
        sampler: Sampler | None = None,
        net: pl.LightningModule | None = None,
        optimizer: dict[str, Any] | None = None,
        batch_size: int = 4,
        epochs: int = 2,
        uplink: Mapping[str, Stage] = MappingProxyType({}),
        scale: float = 1.0,
        dropout: float = 0.0,
        norm: bool = False,
        kind: type[Trainer] = LightningTrainer,
        samples: tuple[Tensor, Tensor] | None = None,
        sizes: Sequence[int] = SIZES,
        validation_sizes: Sequence[int] = (),
        test_sizes: Sequence[int] = TEST_SIZES,
        engine: Engine | None = None,
        reduction: Reduction | None = None,
        updates: int | None = None,
        falls_back: bool = False,
        attack: Attack | None = None,
        server_samples: int = 0,
        **trainer: Any,
    ):
        torch.manual_seed(0)
        module = net or Net(dropout, norm)
        if not is_overridden("configure_optimizers", module):
            give_optimizer(module, partial(torch.optim.SGD, **(optimizer or {"lr": 0.1})))
        x, y = samples or numbers(scale)
        n = sum(SIZES)
        train, test = TensorSamples(x[:n], y[:n]), TensorSamples(x[n:], y[n:])
        data = DataSource("numbers", train, test, classes=CLASSES)
        validation = shards(*validation_sizes or [0] * len(test_sizes), first=sum(sizes))
        of_server = np.arange(server_samples)
        clients = Clients(shards(*sizes), validation, shards(*test_sizes), batch_size, epochs, of_server)
        evaluation = Evaluation()
        clients.local_updates = updates
        self.engine = engine or Serial()
        options = kind(**{"accelerator": "cpu", "precision": "64-true", **trainer})
        start_counters = counters(module)
        attack = ready_attack(attack or NoAttack(), data, len(clients), 0, str(aggregator), False)
        evaluation.extra = attack.extra_tests(data)
        job_data = JobData(train, test, poison=attack.poison(data))
        self.engine.start(options, module, job_data, evaluation.measure())
        self._has_to_stack = trainer.get("stack") == "always" and not falls_back
        self._check_stacked()
        self.layout = self.engine.local_worker.host.layout
        aggregator.setup(self.layout, len(clients))
        self.start = self.layout.read(module)
        uplink = dict(uplink)
        uplink, reduction = with_attack(attack, uplink, chosen_reduction(aggregator, uplink, reduction))
        weighting = run_weighting(aggregator, uplink)
        sampler = sampler or All()
        sampler.setup(clients.train.sizes)
        self.federation = Federation(
            aggregator, sampler, Pipeline(aggregator, uplink, reduction, weighting), clients, self.start, 0, 0
        )
        self.federation.attack = attack
        self.federation.pipeline.setup(self.layout, len(clients))
        server = aggregator.server_state(self.start, torch.Generator().manual_seed(0))
        self.state = FederationState(
            0,
            server,
            MemoryStore(),
            start_counters,
            sampler=sampler.initial_state(),
            messages=self.federation.messages_state(),
        )
        self.evaluator = Evaluator(evaluation, data, 1, 0)
        self.checkpoints = Checkpoints(folder, {}, inf, 1, {})
        self.logger = Rows()

    def go(self, rounds: int = 1) -> Running:
        """Run this number of further rounds."""
        self.federation.rounds = self.state.round + rounds
        federate(self.federation, self.state, self.engine, self.evaluator, self.logger, self.checkpoints)
        self._check_stacked()
        return self

    def _check_stacked(self) -> None:
        if self._has_to_stack:
            check_stacked(self.engine.local_worker)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return self.logger.rows

    @property
    def weights(self) -> Tensor:
        """(P,) of the server's model."""
        return self.state.server["model"].weights

    def named(self) -> dict[str, Tensor]:
        """The server's model, tensor by tensor."""
        return self.layout.named(self.state.server["model"])

    def client_state(self, client: int) -> dict[str, Any]:
        """The algorithm's state of a client."""
        (state,) = self.state.clients.get([client])
        assert state is not None
        return state["algorithm"]

    def orders(self, number: int, cohort: Sequence[int]) -> dict[int, list[list[int]]]:
        """client -> the batches of its first fit in a round, epoch after epoch."""
        clients = self.federation.clients
        jobs = clients.jobs(ServerRound(number, self.federation.seed, list(cohort), len(clients)))
        return {j.client: [b.tolist() for e in range(j.epochs) for b in j.batches(0, e, False)] for j in jobs}


def kept(run: Running, clients: int = len(SIZES)) -> dict[str, Tensor]:
    """Everything that a run keeps, and its metrics, by a name that says where it belongs."""
    result: dict[str, Tensor] = {}

    def gather(name: str, value: Any) -> None:
        if isinstance(value, Model):
            gather(f"{name}.weights", value.weights)
            gather(f"{name}.statistics", value.statistics)
        elif isinstance(value, dict):
            for key, item in value.items():
                gather(f"{name}.{key}", item)
        else:
            result[name] = value

    gather("server", run.state.server)
    gather("counters", run.state.counters)
    gather("sampler", {name: torch.as_tensor(value) for name, value in run.state.sampler.items()})
    for client in range(clients):
        gather(f"client {client}", run.state.clients.get([client])[0] or {})
    for number, row in enumerate(run.rows, 1):
        metrics = {f"round {number}, {name}": value for name, value in row.items() if not name.startswith("time/")}
        result |= {name: torch.tensor(value, dtype=torch.float64) for name, value in metrics.items()}
    return result
