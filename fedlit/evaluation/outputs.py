"""What the outputs of a module's `forward` say about its predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.data.targets import class_targets
from fedlit.errors import InputError
from fedlit.plurals import counted
from fedlit.torch_compat import pytree


def class_labels(outputs: Tensor, targets: Any) -> Tensor | None:
    """The targets (N,) where they are one class a sample of outputs (N, C) or (N,); None for any other targets."""
    labels = class_targets(targets)
    return labels if labels is not None and len(outputs) == len(labels) and outputs.dim() <= 2 else None


def columns_of(outputs: Tensor) -> int:
    """Numbers that a sample has in outputs (N, C) or (N,)."""
    return outputs.shape[1] if outputs.dim() == 2 else 1


def why_no_accuracy(module_name: str, columns: int, classes: int | None) -> str:
    """Why the largest of `columns` outputs is no predicted class, and what to write; empty where it is one.

    Args:
        classes: of the data; None: not known.
    """
    if columns == 1:
        return (
            f"{module_name}: forward gives one number a sample and the targets are classes, so neither accuracy nor a "
            "confusion matrix is measured; for a binary classification write "
            "+evaluation.metrics.accuracy._target_=torchmetrics.classification.BinaryAccuracy."
        )
    if classes is not None and columns < classes:
        return (
            f"{module_name}: forward gives {counted(columns, 'number')} a sample and the data has "
            f"{counted(classes, 'class', 'classes')}, so these are "
            "no score a class, and neither accuracy nor a confusion matrix is measured; log a metric in test_step, or "
            "let forward give one score a class."
        )
    return ""


def predictions(scores: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The predicted classes (N,) of scores (N, C), and whether each is one: NaN and an infinite largest score are none.

    A score of minus infinity, which excludes a class, is allowed.
    """
    largest, predicted = scores.max(1)
    return predicted.cpu().numpy(), np.isfinite(largest.double().cpu().numpy())


def are_predictions(outputs: Tensor) -> np.ndarray:
    """(N,) bool: whether the outputs (N, ...) of a sample are predictions; see `predictions`."""
    if outputs.dim() == 2 and outputs.shape[1] > 1:
        return predictions(outputs)[1]
    return torch.isfinite(outputs).reshape(len(outputs), -1).all(1).cpu().numpy()


def of_one_shape(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (N, ..., 1) and targets (N, ...) without the last axis, and the other way round; others as they are."""
    if outputs.shape == (*targets.shape, 1):
        return outputs.squeeze(-1), targets
    if targets.shape == (*outputs.shape, 1):
        return outputs, targets.squeeze(-1)
    labels = class_labels(outputs, targets) if outputs.dim() == 2 and outputs.shape[1] > 1 else None
    return outputs, targets if labels is None else labels


def refuse_non_finite_inputs(batch: Any, split: str, module_name: str) -> None:
    """
    Args:
        batch: one on which the module has a loss or outputs that are not finite.

    Raises:
        InputError: the batch itself has values that are not finite.
    """
    numbers = [t for t in pytree.tree_leaves(batch) if torch.is_tensor(t) and t.is_floating_point()]
    if not all(bool(torch.isfinite(t).all()) for t in numbers):
        part = {"train": "training"}.get(split, split)
        raise InputError(
            f"the {part} data hold NaN or infinite values, and {module_name} gives no finite result for these samples; "
            "fill or drop them."
        )
