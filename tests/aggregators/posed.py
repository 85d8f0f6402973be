"""Runs of the options of conf/aggregator/, posed as problems to oracles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor

from fedlit.aggregators import Aggregator
from fedlit.client import Client
from fedlit.model_vectors import Model
from fedlit.round import Round
from fedlit.schedules import RoundSchedule
from fedlit.settings.classes import build
from fedlit.training import Trainer
from fedlit.training.lightning import LightningTrainer
from tests.aggregators.federations import Listed, Running, numbers
from tests.oracles.problem import Named, Outcome, Problem
from tests.small_runs import composed

COHORTS = [[0, 2], [2, 1], [1, 0, 3]]  # client 3 is drawn first in the last round, and client 4 never
SIZES = (9, 4, 6, 3, 2)  # training samples; a last batch has one sample
VALIDATION_SIZES = (2, 1, 2, 2, 1)
TEST_SIZES = (4, 4, 4, 4, 4)
PLAIN = {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0}
MOMENTUM = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}


def algorithm(option: str, hyperparameters: Mapping[str, Any]) -> Aggregator:
    """The algorithm of an option, with its defaults at the other keys."""
    config = OmegaConf.merge(
        OmegaConf.to_container(composed(f"aggregator={option}").config.aggregator, resolve=True), hyperparameters
    )
    built: Aggregator = build(config, "aggregator")
    return built


class ListedFactors(RoundSchedule):
    """The listed factors, round by round."""

    def __init__(self, factors: Sequence[float]):
        super().__init__()
        self.factors = factors

    def decay(self, done: int, rounds: int) -> float:
        return self.factors[done]


class Posed:
    """A run of three rounds, and the same run as a `Problem`.

    Args:
        optimizer: `PLAIN` or `MOMENTUM`.
        norm: with batch normalisation.
        sizes: training samples of the clients, at most `SIZES` together.
        cohorts: the clients of each round.
        server_factors: of the server's learning rate in each round; all 1 if empty.
        options: further arguments of `Running`, those of the trainer among them.
    """

    def __init__(
        self,
        folder: Path,
        aggregator: Aggregator,
        optimizer: Mapping[str, float],
        norm: bool = False,
        kind: type[Trainer] = LightningTrainer,
        sizes: Sequence[int] = SIZES,
        cohorts: Sequence[Sequence[int]] = COHORTS,
        server_factors: Sequence[float] = (),
        **options: Any,
    ):
        self.aggregator, self.norm, self.optimizer = aggregator, norm, optimizer
        pooled = aggregator.pooled
        self.sizes = [sum(sizes)] if pooled else sizes
        self.cohorts = [[0]] * len(cohorts) if pooled else cohorts
        self.run = Running(
            folder,
            aggregator,
            Listed(*self.cohorts),
            optimizer=dict(optimizer),
            norm=norm,
            kind=kind,
            sizes=self.sizes,
            validation_sizes=VALIDATION_SIZES,
            test_sizes=TEST_SIZES,
            **options,
        )
        self.server_factors = server_factors or [1.0] * len(cohorts)
        if server_factors:
            self.run.federation.server_lr_schedule = ListedFactors(server_factors)

    def problem(self) -> Problem:
        x, y = numbers()
        owners = np.split(np.arange(sum(self.sizes)), np.cumsum(self.sizes)[:-1])
        held_out = np.split(sum(self.sizes) + np.arange(sum(VALIDATION_SIZES)), np.cumsum(VALIDATION_SIZES)[:-1])
        named, layout = self.run.layout.named(self.run.start), self.run.layout
        return Problem(
            weights={name: named[name] for name in layout.weights},
            statistics={name: named[name] for name in layout.statistics},
            inputs=[x[index] for index in owners],
            targets=[y[index] for index in owners],
            validation=[(x[index], y[index]) for index in held_out],
            cohorts=self.cohorts,
            epochs=self.run.federation.clients.local_epochs,
            batch_size=self.run.federation.clients.batch_size,
            lr=self.optimizer["lr"],
            momentum=self.optimizer["momentum"],
            decay=self.optimizer["weight_decay"],
            stream=self._batches,
            drawn=self._drawn(),
            server_factors=self.server_factors,
        )

    def _drawn(self) -> dict[str, list[tuple[Named, Named]]]:
        """The stacks of different models in the server's state."""
        stacks = {
            key: value
            for key, value in self.run.state.server.items()
            if isinstance(value, Model) and value.weights.dim() == 2 and bool((value.weights != value.weights[0]).any())
        }
        return {key: [self._parts(stack[j]) for j in range(len(stack.weights))] for key, stack in stacks.items()}

    def _parts(self, model: Model) -> tuple[Named, Named]:
        """Weights and statistics."""
        layout = self.run.layout
        return layout.tensors(model.weights), layout.tensors(model.statistics, layout.statistics)

    def _batches(self, purpose: str, t: int, k: int, fit: int, epoch: int) -> list[np.ndarray]:
        clients = self.run.federation.clients
        (job,) = clients.jobs(Round(t, self.run.federation.seed, [k], len(clients), purpose))
        return [index - clients.train.offsets[k] for index in job.batches(fit, epoch, drop_single=self.norm)]

    def outcome(self, rounds: int | None = None) -> Outcome:
        """Runs the rounds (None: all three); the models that fedlit evaluates after the last one."""
        run = self.run
        personal: dict[int, Model] = {}
        of_class = self.aggregator.personal

        def watched(client: Client, received: dict[str, Any], state: dict[str, Any]) -> Model:
            models = of_class(client, received, state)
            for row, number in enumerate(client.number[:, 0].tolist()):
                part = partial(_row, row)
                personal[number] = Model(part(models.weights), part(models.statistics))
            return models

        run.go((rounds or len(self.cohorts)) - 1)
        self.aggregator.personal = watched
        run.go()
        model = self.aggregator.global_model(run.state.server)
        evaluated = any(name.startswith("clients/personal/") for name in run.rows[-1])
        models = [personal[k] for k in range(len(self.sizes))] if evaluated else []
        weights, statistics = self._parts(model) if model is not None else (None, None)
        return Outcome(
            weights=weights,
            personal=[self._parts(m)[0] for m in models] or None,
            statistics=statistics or None,
            personal_statistics=[self._parts(m)[1] for m in models if m.statistics.numel()] or None,
        )


def _row(row: int, values: Tensor) -> Tensor:
    return (values if values.dim() == 1 else values[row % len(values)]).detach().clone()


def tensors(outcome: Outcome) -> dict[str, Tensor]:
    """All tensors of an outcome by a name that says where they belong."""
    result: dict[str, Tensor] = {}
    for part in ("weights", "statistics"):
        for name, value in (getattr(outcome, part) or {}).items():
            result[f"global {name}"] = value
    for part in ("personal", "personal_statistics"):
        for k, model in enumerate(getattr(outcome, part) or ()):
            result |= {f"client {k} {name}": value for name, value in model.items()}
    return result


def distance(first: dict[str, Tensor], second: dict[str, Tensor]) -> float:
    """The largest difference between tensors of the same names."""
    assert first.keys() == second.keys(), sorted(first.keys() ^ second.keys())
    assert all(first[name].shape == second[name].shape for name in first)
    return max(float(torch.nan_to_num((first[n] - second[n]).abs(), nan=torch.inf).max()) for n in first)
