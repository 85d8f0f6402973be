"""The options of `evaluation=`: how often, and on which clients and samples, models are measured.

The random choices here have their own keys, so evaluating more often changes no bit of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedlit.data.extra_test import ExtraTest
from fedlit.data.transform import Transform
from fedlit.errors import InputError
from fedlit.evaluation.direction import KNOWN, Directions
from fedlit.evaluation.measure import Measure
from fedlit.evaluation.spread import pooled, spread
from fedlit.evaluation.tally import ACCURACY, LOSS, Totals
from fedlit.metric_names import Direction, Row, client_metric, clients_evaluated, global_metric
from fedlit.randomness import generator


@dataclass
class Evaluation:
    """What is measured. `metrics` are torchmetrics by name, updated with (outputs, targets)."""

    every: int = 1  # rounds from one evaluation to the next; the last round is always evaluated
    clients: int = 100  # at most this many clients are measured one by one
    test_samples: int | None = None  # at most this many samples of the pooled test set; None: all
    client_test: float | str = (
        "same_partition"  # fraction of a shard that is its local test data; else the test set is split
    )
    client_validation: float = 0.0  # fraction of a shard that is its validation data
    batch_size: int = 512
    metrics: Mapping[str, Any] = field(default_factory=dict)
    higher_is_better: Sequence[str] = ()  # patterns of logged names, before the known ones (see `direction`)
    lower_is_better: Sequence[str] = ()
    each_epoch: bool = False  # also measure after each local epoch, and write clients.jsonl
    per_client: bool = False  # write clients.jsonl with the metrics of each client that is measured, and draw them
    finetune: int = 0  # local epochs from the received model to the personal one that is measured; 0: no fine-tuning
    finetune_only: str | Sequence[str] | None = None  # patterns over the parameters that these epochs train; None: all
    extra: Mapping[str, ExtraTest | Transform] = field(default_factory=dict)  # changed pooled test sets, by name

    def __post_init__(self) -> None:
        if self.finetune_only is not None and not self.finetune:
            raise InputError(
                f"evaluation.finetune_only={self.finetune_only}: without evaluation.finetune nothing is fine-tuned; "
                "write evaluation.finetune=1 or more, or leave evaluation.finetune_only out."
            )
        for name, test in self.extra.items():
            if not isinstance(test, ExtraTest) and not callable(test):
                shown = test if isinstance(test, str) else type(test).__name__
                raise InputError(
                    f"evaluation.extra.{name}={shown}: this changes no batch; write "
                    f"evaluation.extra.{name}._target_=mine.Blurred, a class with __call__(batch, index, client, "
                    "split, key) that returns the changed batch."
                )
        for name, metric in self.metrics.items():
            if not (callable(getattr(metric, "update", None)) and callable(getattr(metric, "compute", None))):
                raise InputError(
                    f"evaluation.metrics.{name}={type(metric).__name__}: this is no torchmetrics Metric; write for "
                    f"example evaluation.metrics.{name}._target_=torchmetrics.classification.MulticlassF1Score and its "
                    "arguments."
                )

            if name == LOSS:
                raise InputError(
                    f"evaluation.metrics.{name}: the loss of training_step has this name; write "
                    f"evaluation.metrics.test_{name} or another name."
                )
            if name == ACCURACY and getattr(metric, "higher_is_better", None) is not True:
                raise InputError(
                    f"evaluation.metrics.{name}={type(metric).__name__}: the best round is the one of the highest "
                    f"accuracy, and of this metric higher is not better; write evaluation.metrics.my_{name} or another "
                    "name."
                )

    @property
    def writes_clients(self) -> bool:
        """Whether the run writes clients.jsonl."""
        return self.each_epoch or self.per_client

    def measure(self, classes: int | None = None) -> Measure:
        """What measures a module on samples, with these options, for data with this number of classes."""
        return Measure(self.batch_size, self.metrics, classes)

    def directions(self) -> Directions:
        """Which direction of each metric is better, and between which limits its values lie."""
        higher = {name: getattr(metric, "higher_is_better", None) for name, metric in self.metrics.items()}
        declared = {name: bool(value) for name, value in higher.items() if value is not None}
        limits = {name: (_limit(metric, "lower"), _limit(metric, "upper")) for name, metric in self.metrics.items()}
        return Directions(self.higher_is_better, self.lower_is_better, declared, {ACCURACY: (0.0, 1.0)} | limits)

    def is_due(self, round_number: int, rounds: int) -> bool:
        """Whether models are measured after this round; `rounds` is the number of the last one."""
        return round_number % self.every == 0 or round_number == rounds

    def evaluated_clients(self, seed: int, clients: int) -> list[int]:
        """The clients that are measured one by one after a round: the same clients in every round of a run."""
        if clients <= self.clients:
            return list(range(clients))
        return sorted(generator(seed, "evaluated clients").choice(clients, self.clients, replace=False).tolist())

    def pooled_samples(self, seed: int, samples: int) -> np.ndarray:
        """The test samples (n,) that the global model is measured on: the same samples in every round."""
        if self.test_samples is None or samples <= self.test_samples:
            return np.arange(samples)
        return np.sort(generator(seed, "evaluated samples").choice(samples, self.test_samples, replace=False))

    def watched_clients(self, seed: int, round_number: int, cohort: Sequence[int]) -> frozenset[int]:
        """The clients of a cohort whose received and trained models are measured while they train."""
        if len(cohort) <= self.clients:
            return frozenset(cohort)
        rng = generator(seed, "watched clients", round_number)
        return frozenset(np.asarray(cohort)[rng.choice(len(cohort), self.clients, replace=False)].tolist())


def _limit(metric: Any, end: str) -> float | None:
    """The end of a torchmetrics metric's range."""
    value = getattr(metric, f"plot_{end}_bound", None)
    return None if value is None else float(value)


def client_rows(
    model: str,
    totals: Sequence[Totals],
    rename: Callable[[str], str] = str,
    better: Callable[[str], Direction] = KNOWN.better,
) -> Row:
    """`clients/<model>/<metric>/<statistic>`, and the number of clients that were measured.

    Args:
        totals: one a client; empty for a client without data.
        rename: gives the metric's part of the name.
        better: gives the direction of a metric.
    """
    measured = [client for client in totals if client]
    if not measured:
        return {}
    row: Row = {
        client_metric(model, rename(metric), statistic): value
        for metric, statistics in spread(measured, better).items()
        for statistic, value in statistics.items()
    }
    return row | {clients_evaluated(model): len(measured)}


def global_rows(split: str, totals: Sequence[Totals]) -> Row:
    """`global/<split>/<metric>`, over all samples of all parts."""
    return {global_metric(split, name): value for name, value in pooled(totals).items()}
