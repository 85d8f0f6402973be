"""The options of `evaluation=`: what is measured after a round, on which clients and samples.

Its draws come from streams of their own: evaluating more often changes no bit of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure, Totals
from fedlit.evaluation.spread import pooled, spread
from fedlit.metric_names import clients_evaluated, global_metric
from fedlit.randomness import generator


@dataclass
class Evaluation:
    every: int = 1  # rounds from one evaluation to the next; the last round is always evaluated
    clients: int = 100  # most clients that are measured one by one
    test_samples: int | None = None  # most samples of the pooled test set; None: all
    client_test: float | str = "same_partition"  # share of a shard that is its local test, or split the test set alike
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

    def is_due(self, round_number: int, rounds: int) -> bool:
        return round_number % self.every == 0 or round_number == rounds

    def evaluated_clients(self, seed: int, clients: int) -> list[int]:
        """The clients that are measured one by one after a round: the same ones in every round of a run."""
        if clients <= self.clients:
            return list(range(clients))
        return sorted(generator(seed, "evaluated clients").choice(clients, self.clients, replace=False).tolist())

    def pooled_samples(self, seed: int, samples: int) -> np.ndarray:
        """The test samples (n,) that the global model is measured on: the same ones in every round of a run."""
        if self.test_samples is None or samples <= self.test_samples:
            return np.arange(samples)
        return np.sort(generator(seed, "evaluated samples").choice(samples, self.test_samples, replace=False))

    def watched_clients(self, seed: int, round_number: int, cohort: Sequence[int]) -> frozenset[int]:
        """The clients of a cohort whose received and trained models are measured while they train."""
        if len(cohort) <= self.clients:
            return frozenset(cohort)
        rng = generator(seed, "watched clients", round_number)
        return frozenset(np.asarray(cohort)[rng.choice(len(cohort), self.clients, replace=False)].tolist())


def client_rows(model: str, totals: Sequence[Totals], prefix: str = "") -> dict[str, float | int]:
    """`clients/<model>/<metric>/<statistic>`, and how many clients were measured."""
    measured = [client for client in totals if client]
    if not measured:
        return {}
    prefixed = [{f"{prefix}{name}": total for name, total in client.items()} for client in measured]
    return {f"clients/{model}/{name}": value for name, value in spread(prefixed).items()} | {
        clients_evaluated(model): len(measured)
    }


def global_rows(split: str, totals: Sequence[Totals]) -> dict[str, float]:
    """`global/<split>/<metric>`, over all samples of all parts."""
    return {global_metric(split, name): value for name, value in pooled(totals).items()}
