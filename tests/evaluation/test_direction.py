"""The better direction of a metric: declared by torchmetrics, by an option, or by known names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from torchmetrics.classification import MulticlassCalibrationError

from fedlit.data import TensorSamples
from fedlit.errors import InputError
from fedlit.evaluation import Evaluation
from fedlit.evaluation.direction import Directions
from fedlit.evaluation.evaluation import client_rows
from fedlit.evaluation.measure import Measure
from fedlit.evaluation.spread import spread
from fedlit.tracking.curves_figure import curves_figure
from tests.evaluation.measured_kinds import CLASSES, WIDTH, Net
from tests.evaluation.test_measure import parts_of, subject_of
from tests.small_runs import composed, go, small, write_npz
from tests.training.rounds import numbers

NAMES = {
    "lower": """
        loss val_loss valLoss test/loss f1_loss acc_loss error val_error mse val_mse RMSE mae MAPE perplexity val_ppl
        nll
        ece brier BrierScore brier_score wer cer cross_entropy kl_div mean_squared_error top1_error
        fid loss_epoch
        hamming inaccuracy false_positive_rate fnr edit_distance chamfer_distance crps neg_log_likelihood
        eval_loss train_loss_epoch valRmse MeanSquaredError bits_per_dim
        """,
    "higher": """
        acc val_acc val/acc accuracy balanced_accuracy acc@5 auroc roc_auc f1 F1Score f1_macro r2 r2_score iou mIoU dice
        valAcc top_1_accuracy mAP50 rougeL tpr exact_match hit_rate matthews_corrcoef jaccard_index acc_class_0 test_f1
        bleu precision recall mAP ndcg psnr neg_mean_squared_error log_likelihood explained_variance
        """,
    "neither": """
        temperature score norm counter cancer piece iter neg_loss minus_acc something_else a
        accuracy_gap acc_diff delta_loss acc_std loss_variance loss_weight ce_weight f1_threshold map_size kl_coef
        negMSE inverse_accuracy 1-accuracy one_minus_acc error_reduction loss_improvement distance
        inter_class_distance accuracy_drop loss_ratio auc_time precision_bits error_count non_iou
        """,
}


@pytest.mark.parametrize("better", NAMES)
def test_the_direction_of_known_names(better: str) -> None:
    names = NAMES[better].split()
    assert {name: Directions().better(name) for name in names} == dict.fromkeys(names, better)


def test_options_come_before_known_names_and_declarations_before_options() -> None:
    directions = Directions(["cost_*", "*fit_loss", "b"], ["Score"], {"accuracy": False, "b": False})
    names = {"cost_of_x": "higher", "unfit_loss": "higher", "score": "lower", "accuracy": "lower", "b": "lower"}
    assert {name: directions.better(name) for name in names} == names
    assert Directions().better("cost_of_x") == "neither"


VALUES = {"brier": [0.9, 0.011, 0.2], "my_own": [0.9, 0.011, 0.2], "auroc": [0.9, 0.011, 0.2]}


def test_the_worst_client_is_that_of_the_direction() -> None:
    totals = [{name: (10 * values[k], 10.0) for name, values in VALUES.items()} for k in range(3)]
    row = spread(totals)
    assert (row["brier"]["worst"], row["auroc"]["worst"]) == (0.9, 0.011)
    assert (row["brier"]["worst_decile"], row["auroc"]["worst_decile"]) == (0.9, 0.011)
    assert (row["my_own"]["min"], row["my_own"]["max"]) == (0.011, 0.9)
    assert not {"worst", "worst_decile"} & row["my_own"].keys() and not {"min", "max"} & row["auroc"].keys()
    assert row["my_own"]["mean"] == row["brier"]["mean"] == pytest.approx(np.mean(VALUES["brier"]))
    assert client_rows("received", totals)["clients/received/my_own/max"] == 0.9


@pytest.mark.parametrize("name", ["loss", "accuracy"])
def test_a_client_without_a_number_is_the_worst(name: str) -> None:
    row = spread([{name: (value, 1.0)} for value in (0.5, float("nan"), 0.1)])[name]
    assert np.isnan(row["worst"]) and np.isnan(row["worst_decile"]) and np.isnan(row["mean"])


def test_configured_metrics_declare_their_direction() -> None:
    metrics = {
        "a": torchmetrics.MeanSquaredError(),
        "b": torchmetrics.R2Score(),
        "val_loss": torchmetrics.MeanMetric(),
        "c": MulticlassCalibrationError(3),
        "d": torchmetrics.MeanMetric(),
    }
    directions = Evaluation(metrics=metrics).directions()
    expected = {"a": "lower", "b": "higher", "val_loss": "lower", "c": "lower", "d": "neither"}
    assert {name: directions.better(name) for name in metrics} == expected


@pytest.mark.parametrize(
    ("name", "metric"), [("loss", torchmetrics.MeanSquaredError()), ("accuracy", torchmetrics.MeanSquaredError())]
)
def test_a_metric_under_a_name_that_means_something_else_is_refused(name: str, metric: Any) -> None:
    with pytest.raises(InputError, match=f"evaluation.metrics.{name}") as caught:
        Evaluation(metrics={name: metric})
    assert "\n" not in str(caught.value)


class LogsObjects(Net):
    """Logs a metric object of each direction, under names that say nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = torchmetrics.Accuracy("multiclass", num_classes=CLASSES), torchmetrics.MeanSquaredError()

    def test_step(self, batch: Any, batch_idx: int) -> None:
        outputs = self(batch[0])
        self.log("first", self.up(outputs, batch[1]))
        self.up.update(outputs, batch[1])
        self.log("second", self.up)
        self.down.update(outputs[:, 0], batch[1].float())
        self.log("third", self.down)


@pytest.mark.filterwarnings("ignore")
def test_logged_metric_objects_declare_their_direction() -> None:
    subject = subject_of(LogsObjects(), numbers(4, WIDTH, CLASSES))
    Measure(2)(subject, parts_of(TensorSamples(*numbers(9, WIDTH, CLASSES)), [np.arange(9)]))
    assert subject.higher_is_better == {"second": True, "third": False}


LOGGED = ("first", "second", "third")


@pytest.mark.parametrize("engine", ["serial", "processes"])
@pytest.mark.filterwarnings("ignore")
def test_a_run_has_the_worst_of_each_direction(engine: str, tmp_path: Path) -> None:
    data = write_npz(tmp_path / "data.npz", (WIDTH,), CLASSES, (9, 8, 7), images=False)
    settings = {
        "data": composed("data=npz").config.data,
        "data.path": str(data),
        "model": {"_target_": "tests.evaluation.test_direction.LogsObjects"},
        "engine": composed(f"engine={engine}").config.engine,
        "logger": composed("logger=none").config.logger,
        "clients": 3,
        "evaluation.higher_is_better": ["first"],
    }
    if engine == "processes":
        settings["engine.workers"] = 2
    [row] = go(small(["aggregator=local"], settings), tmp_path / "run")  # without a global model
    ends = {name: {s for s in ("worst", "min") if f"clients/trained/{name}/{s}" in row} for name in LOGGED}
    assert ends == {name: {"worst"} for name in LOGGED}
    for model in ("trained", "personal"):
        assert row[f"clients/{model}/second/worst"] <= row[f"clients/{model}/second/mean"]
        assert row[f"clients/{model}/third/worst"] >= row[f"clients/{model}/third/mean"]


def test_the_figure_has_the_ends_of_a_metric_without_direction() -> None:
    rows = [
        {"round": number} | {f"clients/received/odd/{s}": 1.0 * number for s in ("mean", "std", "min", "max")}
        for number in (1, 2)
    ]
    figure = curves_figure(rows)
    assert figure is not None
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"clients, received: min", "clients, received: max"} <= labels


@pytest.mark.filterwarnings("ignore")
def test_a_logged_name_that_is_measured_already_gets_a_name_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    class Colliding(Net):
        def test_step(self, batch: Any, batch_idx: int) -> None:
            self.log_dict({"loss": torch.tensor(7.0), "accuracy": 8.0, "test_loss": 9.0})

    x, y = numbers(9, WIDTH, CLASSES)
    torch.manual_seed(0)
    module = Colliding()
    samples = parts_of(TensorSamples(x, y), [np.arange(9)])
    result = Measure(2)(subject_of(module, (x[:4], y[:4])), samples)
    means = {name: total / weight for name, (total, weight) in result.totals[0].items()}
    with torch.no_grad():
        outputs = module.net(x)
    assert means.pop("loss") == pytest.approx(float(torch.nn.functional.cross_entropy(outputs, y)), rel=1e-5)
    assert means.pop("accuracy") == pytest.approx(float((outputs.argmax(1) == y).double().mean()))
    assert means == {"logged_loss": 7.0, "logged_accuracy": 8.0, "test_loss": 9.0}
    assert len(caplog.messages) == 2 and all("logged_" in sentence for sentence in caplog.messages)
