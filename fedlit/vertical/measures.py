"""How well scores fit the targets of the test people."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import expit

from fedlit.notices import warn
from fedlit.vertical.protocol import Task

MEASURES: Mapping[Task, tuple[str, ...]] = {
    "binary": ("auc", "log_loss", "accuracy"),
    "regression": ("r2", "mse"),
}
"""Names of the measures of a task; the first one is the headline."""


def measures(task: Task, target: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """scikit-learn's measures of scores (M,) and targets (M,), by name.

    binary: `auc` (area under the ROC curve), `log_loss` (nats; probabilities are clipped to 64-bit precision) and
    `accuracy` (a score above 0 is class 1). Scores are margins, log(p / (1 - p)) for the probability p of class 1:
    large margins remain apart where their probabilities round to 1.

    regression: `r2` (coefficient of determination) and `mse` (mean squared error, in squared units of the target).
    Scores are predictions.

    `auc` is left out where all targets are of one class, and `r2` where there is one target alone; a warning says so
    once in a run. All measures are NaN if a score is not finite, as after steps that diverged.

    Args:
        task: "binary" or "regression".
        target: classes 0 and 1, or numbers.
        score: margins, or predictions.
    """
    from sklearn.metrics import accuracy_score, log_loss, mean_squared_error, r2_score, roc_auc_score  # slow to import

    if not np.isfinite(score).all():
        return dict.fromkeys(MEASURES[task], float("nan"))
    if task == "regression":
        errors = {"mse": float(mean_squared_error(target, score))}
        if len(target) < 2:
            warn("the test set has one person, so r2 is not measured; take a larger test set.")
            return errors
        return {"r2": float(r2_score(target, score)), **errors}
    fit = {
        "log_loss": float(log_loss(target, expit(score), labels=[0, 1])),
        "accuracy": float(accuracy_score(target, score > 0)),
    }
    if len(np.unique(target)) < 2:
        warn("the test set has people of one class alone, so auc is not measured; take a larger test set.")
        return fit
    return {"auc": float(roc_auc_score(target, score)), **fit}
