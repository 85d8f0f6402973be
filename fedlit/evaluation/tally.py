"""Sums and weights of metrics by part, so that later averages can be weighted correctly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.errors import InputError, one_line
from fedlit.evaluation import outputs as of
from fedlit.notices import warn

Totals = dict[str, tuple[float, float]]  # metric -> (sum over the samples, number of samples)

LOSS, ACCURACY = "loss", "accuracy"


@dataclass
class Measured:
    totals: list[Totals]  # for each part; empty for a part without samples
    confusion: np.ndarray | None = None  # (classes, classes) counts over all parts, true class by row


class Tally:
    """
    Args:
        metrics: name -> torchmetrics.Metric, which is cloned for each part.
        classes: of the data; None: not known.
        confusion: number of classes, for a confusion matrix.
        are_logits: one output a class is a logit (True) or a probability (False); None: not known.
    """

    def __init__(
        self,
        module_name: str,
        parts: int,
        metrics: Mapping[str, Any],
        classes: int | None = None,
        confusion: int | None = None,
        are_logits: bool | None = None,
    ):
        self.module_name, self.parts, self.classes, self.are_logits = module_name, parts, classes, are_logits
        self.sums: dict[str, np.ndarray] = {}
        self.counts: dict[str, np.ndarray] = {}
        self.metrics = [{n: m.clone() for n, m in metrics.items()} for _ in range(parts if metrics else 0)]
        self.confusion = None if confusion is None else np.zeros((confusion, confusion), dtype=np.int64)
        self.confused = False  # whether the matrix has counts
        self.updated = np.zeros(parts, dtype=np.int64)  # samples with which the metrics were updated
        self.spoilt = np.zeros(parts, dtype=bool)  # parts with outputs that are no predictions
        self.finite = True  # of the newest batch: its losses are finite and its outputs are predictions

    @property
    def names(self) -> set[str]:
        """The names of all metrics that the parts have."""
        return {*self.sums, *(name for metrics in self.metrics for name in metrics)}

    def begin_batch(self) -> None:
        """Called before the losses and outputs of a batch are added."""
        self.finite = True

    def _add(self, name: str, part_of: np.ndarray, values: np.ndarray, counted: np.ndarray | None = None) -> None:
        """
        Args:
            part_of: (N,) the parts of the values (N,).
            counted: (N,) the weights; None: ones.
        """
        self.sums[name] = self.sums.get(name, 0.0) + np.bincount(part_of, values, self.parts)
        self.counts[name] = self.counts.get(name, 0.0) + np.bincount(part_of, counted, self.parts)

    def add_losses(self, part_of: np.ndarray, losses: Tensor) -> None:
        """Add the losses (N,) of a batch."""
        numbers = losses.detach().double().cpu().numpy()
        self.finite &= bool(np.isfinite(numbers).all())
        self._add(LOSS, part_of, numbers)

    def add_outputs(self, part_of: np.ndarray, outputs: Any, targets: Any) -> None:
        """Add the outputs (N, ...) of a batch and its targets; outputs that are no tensor of N rows have no metric."""
        if not torch.is_tensor(outputs) or outputs.dim() == 0 or len(outputs) != len(part_of):
            if self.metrics:
                warn(
                    f"{self.module_name}: forward gives no tensor with a row a sample, so evaluation.metrics are not "
                    "measured; log a metric in test_step."
                )
            return
        outputs = outputs.detach()
        labels = of.class_labels(outputs, targets)
        if labels is not None:
            self._add_predicted(part_of, outputs, labels)
        if self.metrics and torch.is_tensor(targets) and targets.shape[:1] == outputs.shape[:1]:
            if labels is not None and bool((labels < 0).any()):
                has_class = labels >= 0
                part_of, outputs, targets = part_of[has_class.cpu().numpy()], outputs[has_class], targets[has_class]
            self._update_metrics(part_of, outputs, targets)

    def _add_predicted(self, part_of: np.ndarray, outputs: Tensor, labels: Tensor) -> None:
        has_accuracy = bool(self.metrics) and ACCURACY in self.metrics[0]
        reason = of.why_no_accuracy(self.module_name, of.columns_of(outputs), self.classes)
        if reason:
            if not has_accuracy:
                warn(reason)
            return
        predicted_classes, is_prediction = of.predictions(outputs)
        true_classes = labels.cpu().numpy()
        known = true_classes >= 0  # labels below 0 are ignored, as by torch's `ignore_index`
        right = (predicted_classes == true_classes) & is_prediction
        self._note_finite(is_prediction)
        if not has_accuracy:
            self._add(ACCURACY, part_of, right & known, known)
        if self.confusion is not None:
            # a module may have more outputs than classes
            counted = known & is_prediction
            counted &= np.maximum(true_classes, predicted_classes) < len(self.confusion)
            np.add.at(self.confusion, (true_classes[counted], predicted_classes[counted]), 1)
            self.confused = True

    def _note_finite(self, is_prediction: np.ndarray) -> None:
        if not is_prediction.all():
            self.finite = False
            warn(
                f"{self.module_name}: some of its outputs are NaN or infinite. Such predictions count as wrong, and "
                "evaluation.metrics have no value on these data."
            )

    def _update_metrics(self, part_of: np.ndarray, outputs: Tensor, targets: Tensor) -> None:
        is_prediction = of.are_predictions(outputs)
        self._note_finite(is_prediction)
        self.spoilt[part_of[~is_prediction]] = True
        outputs, targets = of.of_one_shape(outputs, targets)
        for row in np.unique(part_of):
            index = torch.from_numpy(np.flatnonzero(part_of == row)).to(outputs.device)
            self.updated[row] += len(index)
            if self.spoilt[row]:
                continue
            for name, metric in self.metrics[row].items():
                self._update(name, metric.to(outputs.device), outputs[index], targets[index])

    def _update(self, name: str, metric: Any, outputs: Tensor, targets: Tensor) -> None:
        if self.are_logits and type(metric).__name__.startswith(("Binary", "Multilabel")):
            outputs = outputs.sigmoid()  # torchmetrics takes logits that all lie between 0 and 1 as probabilities
        try:
            metric.update(outputs, targets)
        except Exception as error:
            raise InputError(
                f"evaluation.metrics.{name}={type(metric).__name__} cannot be updated with outputs of shape "
                f"{tuple(outputs.shape)} and targets of shape {tuple(targets.shape)} ({one_line(error)}); write "
                "another metric or leave it out."
            ) from error

    def measured(self) -> Measured:
        totals: list[Totals] = [
            {n: (float(s[row]), float(self.counts[n][row])) for n, s in self.sums.items() if self.counts[n][row]}
            for row in range(self.parts)
        ]
        for row, metrics in enumerate(self.metrics):
            n = float(self.updated[row])
            for name, metric in metrics.items() if n else ():
                value = float("nan") if self.spoilt[row] else self._computed(name, metric)
                if value is not None:
                    totals[row][name] = (value * n, n)
        return Measured(totals, self.confusion if self.confused else None)

    def _computed(self, name: str, metric: Any) -> float | None:
        """The value of a metric; None where these samples give none, such as R2 of one sample."""
        try:
            value = metric.compute()
        except Exception as error:
            warn(
                f"evaluation.metrics.{name}={type(metric).__name__} has no value on the data of some clients, and they "
                f"are left out of it: {one_line(error)}"
            )
            return None
        if not torch.is_tensor(value) or value.numel() != 1:
            raise InputError(
                f"evaluation.metrics.{name}={type(metric).__name__} gives {_kind(value)}, not one number; choose "
                "arguments with which it gives one, such as average=macro."
            )
        return float(value)


def _kind(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if torch.is_tensor(value) else f"a {type(value).__name__}"
