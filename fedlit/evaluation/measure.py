"""Metrics of a module on sets of samples, as sums and weights, so that later averages can be weighted correctly."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fedlit import notices
from fedlit.evaluation import by_batch, by_sample, by_trainer
from fedlit.evaluation.measured_module import MeasuredModule
from fedlit.evaluation.parts import Parts
from fedlit.evaluation.tally import LOSS, Measured, Tally, Totals

__all__ = ["Measure", "Measured", "Totals"]


@dataclass
class Measure:
    """Measures a module by the first of two strategies that applies:

    1. by sample, for a module whose trial shows that its method `losses(outputs, targets)` gives the loss (N,) of each
       sample (fedlit's own): all parts in one pass;
    2. by batch, for any other module: the loss of `training_step` in evaluation mode, part by part.

    Accuracy is measured where `forward` returns a score a class (N, classes), at least two, and targets are integers
    (N,). So are the torchmetrics in `metrics`, which are updated with (outputs, targets) where `forward` returns a
    tensor. In addition a module with a `test_step` or `validation_step` has the values that it logs, under its names; a
    name that is measured already gets the prefix `logged_`.

    Attributes:
        metrics: name -> torchmetrics.Metric.
        classes: of the data; None: not known.
    """

    batch_size: int = 512
    metrics: Mapping[str, Any] = field(default_factory=dict)
    classes: int | None = None

    def __post_init__(self) -> None:
        notices.begin_run()

    def __call__(self, subject: MeasuredModule, parts: Parts, confusion: int | None = None) -> Measured:
        """
        Args:
            subject: with a model loaded. Nothing of it changes.
            confusion: number of classes, for a confusion matrix.
        """
        tally = self._tally(subject, len(parts), confusion)
        if subject.trial.by_sample:
            with subject.opened(keeps_tensors=True):
                by_sample.measure_parts(subject.module, parts, self.batch_size, tally)
            return tally.measured()
        with subject.opened():
            by_batch.measure_parts(subject, parts, self.batch_size, tally)
            logged = by_trainer.measure_parts(subject, parts, self.batch_size) if subject.step_name else []
        measured = tally.measured()
        for totals, more in zip(measured.totals, logged, strict=False):
            totals |= {self._free_name(name, tally.names, subject): value for name, value in more.items()}
        return measured

    def without_metrics(self) -> Measure:
        """This without `metrics`: accuracy is then the share of samples that are predicted right."""
        plain = copy.copy(self)
        plain.metrics = {}
        return plain

    def is_sum_of_parts(self, subject: MeasuredModule) -> bool:
        """Whether the sums over several parts are those of their samples as one part, which is measured in the same
        batches. A torchmetrics metric of all samples is no sum."""
        return subject.trial.by_sample and not self.metrics

    def measure_stack(self, subject: MeasuredModule, forward: Callable[[Tensor], Tensor], parts: Parts) -> list[Totals]:
        """K models together, each on its own part; for modules that are measured by sample.

        Args:
            forward: inputs (K, B, ...) through the K models.
        """
        tally = self._tally(subject, len(parts), None)
        with subject.opened(keeps_tensors=True):
            by_sample.measure_stack(subject.module, forward, parts, self.batch_size, tally)
        return tally.measured().totals

    def mean_loss(self, subject: MeasuredModule, parts: Parts) -> float:
        """The mean of `training_step`'s loss in evaluation mode over the samples of the one part; NaN without one."""
        if not subject.trial.by_sample:
            with subject.opened():
                return by_batch.mean_loss(subject, parts, self.batch_size)
        tally = Tally(subject.name, 1, {})
        with subject.opened(keeps_tensors=True):
            by_sample.measure_parts(subject.module, parts, self.batch_size, tally)
        total, count = tally.measured().totals[0].get(LOSS, (float("nan"), 1.0))
        return total / count

    def _tally(self, subject: MeasuredModule, parts: int, confusion: int | None) -> Tally:
        return Tally(subject.name, parts, self.metrics, self.classes, confusion, subject.trial.are_logits)

    def _free_name(self, name: str, taken: set[str], subject: MeasuredModule) -> str:
        if name not in taken:
            return name
        notices.warn(
            f"{subject.name}: {subject.step_name} logs {name}, and fedlit measures a metric of this name; the logged "
            f"value is named logged_{name}."
        )
        if name in subject.higher_is_better:
            subject.higher_is_better[f"logged_{name}"] = subject.higher_is_better[name]
        return f"logged_{name}"
