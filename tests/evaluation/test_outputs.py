"""Which outputs have an accuracy, and predictions that are not finite."""

from __future__ import annotations

import logging
import math
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.classification import BinaryAccuracy, MulticlassF1Score, MultilabelAccuracy

from fedlit.data import TensorSamples
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure, Measured
from tests.evaluation.test_measure import parts_of, subject_of

NAN, INF = math.nan, math.inf


class Given(pl.LightningModule):
    """Its inputs are its outputs; its loss is computed by `loss`."""

    def __init__(self, loss: Any, forward: Any = None) -> None:
        super().__init__()
        self.given_loss, self.given_forward = loss, forward or (lambda x: x)

    def forward(self, x: Tensor) -> Any:
        return self.given_forward(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.given_loss(self(batch[0]), batch[1])


def constant(outputs: Any, targets: Tensor) -> Tensor:
    return torch.tensor(1.0)


def logits_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs.reshape(targets.shape), targets.float())


def measured(
    x: Tensor, y: Tensor, loss: Any = constant, forward: Any = None, batch_size: int = 3, **measure: Any
) -> Measured:
    samples, module = TensorSamples(x, y), Given(loss, forward)
    subject = subject_of(module, samples.batch(np.arange(min(4, len(x)))))
    classes = measure.get("classes")
    return Measure(batch_size, **measure)(subject, parts_of(samples, [np.arange(len(x))]), classes)


def means(result: Measured) -> dict[str, float]:
    return {name: total / weight for name, (total, weight) in result.totals[0].items()}


ONE_COLUMN = torch.tensor([[0.3], [0.2], [-0.4], [2.0], [-3.0]])
BINARY = torch.tensor([1, 0, 0, 1, 1])


@pytest.mark.parametrize(
    ("x", "y", "classes"),
    [
        (ONE_COLUMN, BINARY, 2),
        (ONE_COLUMN, BINARY[:, None], 2),
        (ONE_COLUMN[:, 0], BINARY, 2),
        (ONE_COLUMN[:, 0], BINARY.bool(), 2),
        (ONE_COLUMN, 3 * BINARY, 4),
        (torch.randn(5, 2), torch.tensor([0, 1, 7, 3, 1]), 8),
    ],
    ids=["(N, 1), (N,)", "(N, 1), (N, 1)", "(N,), (N,)", "(N,), bool", "counts", "two columns, eight classes"],
)
def test_outputs_that_are_no_score_a_class_have_no_accuracy_and_one_sentence(x, y, classes, caplog) -> None:
    result = measured(x, y, classes=classes)
    assert set(result.totals[0]) == {"loss"} and result.confusion is None
    [sentence] = caplog.messages
    assert "neither accuracy nor a confusion matrix" in sentence and "\n" not in sentence
    if x.shape[-1] != 2:
        assert "+evaluation.metrics.accuracy._target_=torchmetrics.classification.BinaryAccuracy" in sentence


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (torch.randn(5, 1), torch.randn(5, 1)),
        (torch.randn(5, 1), torch.randn(5)),
        (torch.randn(5, 3), torch.randint(0, 2, (5, 3)).float()),
        (torch.randn(5, 3, 4), torch.randint(0, 3, (5, 4))),
        (torch.randn(5, 3, 2, 2), torch.randint(0, 3, (5, 2, 2))),
    ],
    ids=["regression", "regression (N,)", "several labels", "a sequence", "an image"],
)
def test_other_targets_have_no_accuracy_and_no_sentence(x, y, caplog) -> None:
    assert set(measured(x, y).totals[0]) == {"loss"} and not caplog.messages


@pytest.mark.parametrize("forward", [lambda x: {"logits": x}, lambda x: (x, x)], ids=["a dict", "a tuple"])
def test_configured_metrics_of_outputs_that_are_no_tensor_have_one_sentence(forward, caplog) -> None:
    x, y = torch.randn(5, 3), torch.randint(0, 3, (5,))
    assert set(measured(x, y, forward=forward).totals[0]) == {"loss"} and not caplog.messages
    result = measured(x, y, forward=forward, metrics={"f1": MulticlassF1Score(3)})
    assert set(result.totals[0]) == {"loss"}
    [sentence] = caplog.messages
    assert "evaluation.metrics are not measured" in sentence


@pytest.mark.parametrize("batch_size", [1, 2, 5])
@pytest.mark.parametrize("x", [ONE_COLUMN, ONE_COLUMN[:, 0]], ids=["(N, 1)", "(N,)"])
@pytest.mark.parametrize("y", [BINARY, BINARY[:, None], BINARY.float()], ids=["(N,)", "(N, 1)", "float"])
def test_the_accuracy_of_one_logit_is_that_of_its_sign(x, y, batch_size, caplog) -> None:
    """Logits from 0 to 1 too, which torchmetrics alone takes as probabilities."""
    right = float(((ONE_COLUMN[:, 0] > 0).long() == BINARY).double().mean())
    result = measured(x, y, logits_loss, batch_size=batch_size, metrics={"accuracy": BinaryAccuracy()}, classes=2)
    assert means(result)["accuracy"] == pytest.approx(right) == 0.6
    assert not caplog.messages


def test_probabilities_stay_as_they_are() -> None:
    p = torch.tensor([[0.3], [0.9], [0.4], [0.6]])
    y = torch.tensor([0, 1, 0, 0])
    result = measured(p, y, lambda p, y: F.binary_cross_entropy(p[:, 0], y.float()), metrics={"a": BinaryAccuracy()})
    assert means(result)["a"] == 0.75


def test_logits_of_several_labels_are_measured_by_their_sign() -> None:
    x, y = torch.tensor([[0.3, -1.0], [0.2, 0.4]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    metric = MultilabelAccuracy(2, average="micro")
    assert means(measured(x, y, logits_loss, metrics={"a": metric}))["a"] == 0.75


def test_a_regression_has_the_configured_metrics() -> None:
    x, y = torch.randn(5, 1), torch.randn(5)
    result = measured(x, y, metrics={"mse": torchmetrics.MeanSquaredError()})
    assert means(result)["mse"] == pytest.approx(float((x[:, 0] - y).square().mean()), rel=1e-5)


def test_a_metric_that_cannot_be_updated_is_refused_in_one_sentence() -> None:
    with pytest.raises(InputError, match=r"evaluation.metrics.f1=MulticlassF1Score .*shape \(3, 2, 2\)") as caught:
        measured(torch.randn(5, 2, 2), torch.randn(5), metrics={"f1": MulticlassF1Score(3)})
    assert "\n" not in str(caught.value)


def test_a_metric_with_several_numbers_is_refused_in_one_sentence() -> None:
    with pytest.raises(InputError, match=r"evaluation.metrics.f1=MulticlassF1Score gives a tensor of shape \(3,\)"):
        measured(torch.randn(5, 3), torch.randint(0, 3, (5,)), metrics={"f1": MulticlassF1Score(3, average=None)})


def test_a_metric_without_a_value_on_few_samples_is_left_out(caplog) -> None:
    result = measured(torch.randn(1, 1), torch.randn(1), metrics={"r2": torchmetrics.R2Score()})
    assert set(result.totals[0]) == {"loss"}
    [sentence] = caplog.messages
    assert "evaluation.metrics.r2" in sentence


def test_more_outputs_than_classes_have_an_accuracy(caplog) -> None:
    x, y = torch.eye(5)[[0, 1, 4]], torch.tensor([0, 2, 1])
    result = measured(x, y, classes=3)
    assert means(result)["accuracy"] == pytest.approx(1 / 3) and not caplog.messages
    assert result.confusion.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_ignored_labels_are_left_out_of_the_accuracy() -> None:
    x, y = torch.eye(3), torch.tensor([0, -100, 1])
    result = measured(x, y, classes=3)
    assert result.totals[0]["accuracy"] == (1.0, 2.0)
    assert result.confusion.sum() == 2


# --- predictions that are not finite ----------------------------------------------------------------------------------
SCORES = {  # outputs of a sample of class 0 -> whether it counts as right
    "finite": ([2.0, 1.0, 0.0], True),
    "an excluded class": ([2.0, -INF, 0.0], True),
    "NaN": ([NAN, NAN, NAN], False),
    "one NaN": ([5.0, NAN, 0.0], False),
    "infinite": ([INF, 0.0, 0.0], False),
    "all excluded": ([-INF, -INF, -INF], False),
}


@pytest.mark.parametrize(("row", "right"), SCORES.values(), ids=SCORES)
@pytest.mark.parametrize("by_sample", [False, True])
def test_predictions_that_are_not_finite_count_as_wrong(row, right, by_sample, caplog) -> None:
    """The inputs are finite: the module makes its outputs from the numbers of the samples."""
    table = torch.tensor([row, [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    x, y = torch.arange(4), torch.tensor([0, 1, 2, 0])
    samples = TensorSamples(x, y)
    module = Given(constant, lambda x: table[x])
    if by_sample:
        module = Given(lambda outputs, targets: torch.ones(len(targets)).mean(), lambda x: table[x])
        module.losses = lambda outputs, targets: torch.ones(len(targets))
    subject = subject_of(module, samples.batch(np.arange(1, 4)))
    assert subject.trial.by_sample == by_sample
    for _ in range(2):
        result = Measure(2, {"f1": MulticlassF1Score(3)}, 3)(subject, parts_of(samples, [np.arange(4)]), 3)
        assert means(result)["accuracy"] == (1.0 if right else 0.75)
        assert result.confusion.sum() == (4 if right else 3)
        assert math.isnan(means(result)["f1"]) == (not right)
    if right:
        assert not caplog.messages
    else:
        assert all("NaN or infinite" in sentence for sentence in caplog.messages) and caplog.messages


def test_the_warning_of_predictions_is_given_once_in_a_run(caplog) -> None:
    samples = TensorSamples(torch.arange(6), torch.tensor([0, 1, 2, 0, 1, 2]))
    subject = subject_of(Given(constant, lambda x: torch.full((len(x), 3), NAN)), samples.batch(np.arange(2)))
    measure = Measure(2)
    for _ in range(3):
        measure(subject, parts_of(samples, [np.arange(3), np.arange(6)]))
    assert len(caplog.messages) == 1
    logging.getLogger("fedlit.notices").warning("%s", caplog.messages[0])  # replayed from a worker
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("split", ["test", "validation"])
@pytest.mark.parametrize("by_sample", [False, True])
def test_inputs_that_are_not_finite_are_refused_where_the_results_are_not_finite(value, split, by_sample) -> None:
    class Linear(Given):
        def __init__(self) -> None:
            super().__init__(F.cross_entropy)
            self.layer = nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)

    module = Linear()
    if by_sample:
        module.losses = lambda outputs, targets: F.cross_entropy(outputs, targets, reduction="none")
    x, y = torch.randn(6, 2), torch.randint(0, 3, (6,))
    subject = subject_of(module, (x[:4].clone(), y[:4]))
    assert subject.trial.by_sample == by_sample
    x[5, 1] = value
    parts = parts_of(TensorSamples(x, y), [np.arange(6)], split=split)
    with pytest.raises(InputError, match=f"the {split} data hold NaN or infinite values.*fill or drop them"):
        Measure(4)(subject, parts)


def test_a_module_that_fills_missing_inputs_is_measured() -> None:
    x, y = torch.tensor([[1.0, NAN], [NAN, 2.0]]), torch.tensor([0, 1])
    result = measured(x, y, F.cross_entropy, torch.nan_to_num)
    assert means(result)["accuracy"] == 1.0 and math.isfinite(means(result)["loss"])
