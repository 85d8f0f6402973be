"""Modules and optimisers under which an algorithm would be wrong are refused in one sentence, before any round."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn

from fedlit.errors import InputError
from tests.slow import some_slow
from tests.small_runs import composed, go, small

TRAINERS = ["lightning", "vectorized"]


class WithoutLinear(pl.LightningModule):
    """Its last layer is a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv1d(64, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1)[:, :, None])[:, :, 0]

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


class OwnOptimizer(WithoutLinear):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def refusal(folder: Path, *words: str, model: type | None = None) -> str:
    changes: dict[str, Any] = {"logger": composed("logger=none").config.logger, "clients": 3}
    if model is not None:
        changes["model"] = {"_target_": f"{model.__module__}.{model.__name__}"}
    with pytest.raises(InputError) as caught:
        go(small(words, changes), folder / "run")
    assert not (folder / "run" / "metrics.jsonl").exists(), "a round was done"
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("aggregator", "trainer"),
    some_slow(itertools.product(["scaffold", "fednova", "qfedavg"], TRAINERS), [("fednova", "vectorized")]),
)
def test_other_optimisers_than_sgd_have_no_gain(aggregator: str, trainer: str, tmp_path: Path) -> None:
    sentence = refusal(tmp_path, f"aggregator={aggregator}", f"trainer={trainer}", "optimizer=adam")
    assert "torch.optim.SGD" in sentence and "Adam" in sentence


@pytest.mark.parametrize("trainer", some_slow(TRAINERS, ["vectorized"]))
def test_moon_needs_a_linear_layer(trainer: str, tmp_path: Path) -> None:
    sentence = refusal(tmp_path, "aggregator=moon", f"trainer={trainer}", model=WithoutLinear)
    assert "no nn.Linear runs in the training_step of WithoutLinear" in sentence


@pytest.mark.parametrize(
    ("words", "model", "what"),
    [
        ([], OwnOptimizer, "the configure_optimizers of OwnOptimizer"),
        (["lr_schedule=step"], None, "lr_schedule"),
        (["trainer.gradient_clip_val=0.5"], None, "trainer.gradient_clip_val=0.5"),
    ],
)
def test_fedsgd_refuses_settings_of_the_clients_optimiser(
    words: list[str], model: type | None, what: str, tmp_path: Path
) -> None:
    sentence = refusal(tmp_path, "aggregator=fedsgd", *words, model=model)
    assert sentence.startswith(f"{what} would have no effect, because under FedSGD the server takes the step; ")


def test_the_clients_optimiser_fine_tunes_under_fedsgd(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"logger": composed("logger=none").config.logger, "clients": 3, "evaluation.finetune": 1}
    model = {"model": {"_target_": f"{__name__}.OwnOptimizer"}}
    row = go(small(["aggregator=fedsgd", "lr_schedule=step"], changes | model), tmp_path / "run")[-1]
    assert row["clients/used/loss/mean"] < row["clients/global/loss/mean"]


def test_scaffolds_option_one_needs_no_gain(tmp_path: Path) -> None:
    words = ["aggregator=scaffold", "aggregator.option=I", "optimizer=adam", "trainer=vectorized"]
    changes = {"logger": composed("logger=none").config.logger, "clients": 3}
    assert go(small(words, changes), tmp_path / "run")[-1]["cohort/arrived"] == 3


@pytest.mark.parametrize(("epochs", "warned"), [(3, True), (1, False)])
def test_local_epochs_without_effect_are_warned_of(
    epochs: int, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = {"logger": composed("logger=none").config.logger, "clients": 3, "local_epochs": epochs}
    go(small(["aggregator=fedsgd"], changes), tmp_path / "run")
    assert ("local_epochs=3 has no effect: under FedSGD the server takes the step" in caplog.messages) == warned
