"""Whole runs whose clients validate, stop early and go back to their best weights: the same bits in every engine."""

from __future__ import annotations

import gc
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau

from fedlit.models import Mlp
from tests.small_runs import command, numbers, same_bits, saved

WORDS = [
    "model._target_=tests.test_validating_runs.Followed",
    "clients=4",
    "participation=0.5",
    "rounds=3",
    "local_epochs=4",
    "batch_size=64",
    "evaluation.client_validation=0.2",
    "threads=1",
    "device=cpu",
    "progress=none",
    "logger=none",
    "checkpoint.every=1",
    "checkpoint.keep=9",
]


class Followed(Mlp):
    def __init__(self, input_shape: Any, classes: int):
        super().__init__(input_shape, classes, hidden=[16])

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = F.cross_entropy(self(F.dropout(batch[0], 0.2)), batch[1])
        self.log("train_loss", loss, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        self.log("val_loss", F.cross_entropy(self(batch[0]), batch[1]) * (1 + 0.1 * torch.rand(())))

    def configure_optimizers(self) -> Any:
        adam = torch.optim.Adam(self.parameters(), 0.05)
        scheduler = {"scheduler": ReduceLROnPlateau(adam, patience=0, threshold=0.2), "monitor": "val_loss"}
        return {"optimizer": adam, "lr_scheduler": scheduler}

    def configure_callbacks(self) -> Any:
        return [EarlyStopping("val_loss", patience=1, min_delta=0.1), ModelCheckpoint(monitor="val_loss")]

    def on_fit_end(self) -> None:
        best = torch.load(self.trainer.checkpoint_callback.best_model_path, weights_only=False)  # type: ignore[union-attr]
        self.load_state_dict(best["state_dict"])


def fit_folders() -> set[Path]:
    """Of this process; also of earlier tests that failed, because pytest keeps their exceptions and frames."""
    return set(Path(tempfile.gettempdir()).glob(f"fedlit-fits-*/{os.getpid()}"))


@pytest.fixture
def folders_of_others() -> set[Path]:
    return fit_folders()


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert command(*WORDS, "hydra.run.dir=alone") == 0
    return tmp_path / "alone"


@pytest.mark.slow
def test_a_resumed_run_has_the_same_bits_and_no_file_remains(folders_of_others: set[Path], alone: Path) -> None:
    assert command(*WORDS, "rounds=1", "hydra.run.dir=run") == 0
    assert command("resume=run", "rounds=3") == 0
    assert same_bits(saved(Path("run"), 3), saved(alone, 3)) and numbers(Path("run")) == numbers(alone)
    assert sorted(os.listdir()) == ["alone", "run"]
    row = numbers(alone)[0]
    assert "train/log/train_loss" in row and "train/log/val_loss" not in row and "train/skipped_samples" not in row
    gc.collect()  # a run's trainer is a cycle of references
    assert fit_folders() <= folders_of_others


@pytest.mark.slow
@pytest.mark.parametrize("engine", [["engine=processes", "engine.workers=2"], ["engine=ray", "engine.workers=2"]])
def test_worker_processes_give_the_same_bits(engine: list[str], alone: Path) -> None:
    if engine[0] == "engine=ray":
        pytest.importorskip("ray")
    assert command(*WORDS, *engine, "hydra.run.dir=run") == 0
    assert same_bits(saved(Path("run"), 3), saved(alone, 3)) and numbers(Path("run")) == numbers(alone)
    assert sorted(os.listdir()) == ["alone", "run"]


def test_a_run_without_validation_samples_is_refused(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    words = [word for word in WORDS if "client_validation" not in word]
    assert command(*words) == 2
    sentence = capsys.readouterr().err + capsys.readouterr().out
    assert "follows val_loss, which validation_step logs, and clients have no validation samples" in sentence
    assert "evaluation.client_validation=0.2" in sentence
