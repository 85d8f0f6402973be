"""What is measured after a round, and under which names.

It draws from streams of its own: evaluating more often changes no bit of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedlit.aggregators.base import Aggregator
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure, Totals
from fedlit.evaluation.spread import pooled, spread
from fedlit.randomness import generator


@dataclass
class Evaluation:
    """What is configured under `evaluation=`."""

    every: int = 1  # rounds from one evaluation to the next; the last round is always evaluated
    clients: int = 100  # at most this many clients are measured one by one
    test_samples: int | None = None  # at most this many samples of the pooled test set; None: all
    client_test: float | str = "same_partition"  # share of a shard that is its local test, or the test set split alike
    client_validation: float = 0.0  # share of a shard that is its local validation
    batch_size: int = 512
    metrics: Mapping[str, Any] = field(default_factory=dict)
    each_epoch: bool = False  # write clients.jsonl: a line a client and round, with each local epoch

    def __post_init__(self) -> None:
        for name, metric in self.metrics.items():
            if not (callable(getattr(metric, "update", None)) and callable(getattr(metric, "compute", None))):
                raise InputError(
                    f"evaluation.metrics.{name}={metric}: this is no torchmetrics Metric; write "
                    f"+evaluation.metrics.{name}._target_=torchmetrics.classification.MulticlassF1Score, say, and its "
                    "arguments."
                )

    def measure(self) -> Measure:
        return Measure(self.batch_size, self.metrics)

    def due(self, number: int, rounds: int) -> bool:
        return number % self.every == 0 or number == rounds

    def shown(self, seed: int, clients: int) -> list[int]:
        """The clients that are measured one by one after a round: the same ones all through a run."""
        if clients <= self.clients:
            return list(range(clients))
        return sorted(generator(seed, "evaluated clients").choice(clients, self.clients, replace=False).tolist())

    def pooled(self, seed: int, samples: int) -> np.ndarray:
        """The test samples (n,) that the global model is measured on: the same ones all through a run."""
        if self.test_samples is None or samples <= self.test_samples:
            return np.arange(samples)
        return np.sort(generator(seed, "evaluated samples").choice(samples, self.test_samples, replace=False))

    def watched(self, seed: int, number: int, cohort: Sequence[int]) -> frozenset[int]:
        """The clients of a cohort whose received and trained models are measured, where they train."""
        if len(cohort) <= self.clients:
            return frozenset(cohort)
        rng = generator(seed, "watched clients", number)
        return frozenset(np.asarray(cohort)[rng.choice(len(cohort), self.clients, replace=False)].tolist())


def has_personal_models(aggregator: Aggregator) -> bool:
    return type(aggregator).personal is not Aggregator.personal


def client_rows(who: str, totals: Sequence[Totals], prefix: str = "") -> dict[str, float | int]:
    """`clients/<who>/<metric>/<which>`, and how many clients were measured."""
    found = [t for t in totals if t]
    if not found:
        return {}
    named = [{f"{prefix}{n}": v for n, v in one.items()} for one in found]
    return {f"clients/{who}/{n}": v for n, v in spread(named).items()} | {f"clients/{who}/evaluated": len(found)}


def global_rows(which: str, totals: Sequence[Totals]) -> dict[str, float]:
    """`global/<which>/<metric>`, over all samples of all parts."""
    return {f"global/{which}/{n}": v for n, v in pooled(totals).items()}
