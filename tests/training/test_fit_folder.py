"""Callbacks that write files, stop a fit early, or cannot work in a client's fit."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch import callbacks as kinds
from torch import Tensor, nn
from torch.nn import functional as F

from fedlit.data import TensorSamples
from fedlit.errors import InputError
from fedlit.notices import begin_run
from fedlit.training.fit_folder import FitFolder
from fedlit.training.lightning import LightningTrainer
from tests.slow import some_slow
from tests.training.rounds import Federated, cut, delta, facts, numbers


class Net(pl.LightningModule):
    def __init__(self, make: Callable[[], list[Any]] = list) -> None:
        super().__init__()
        self.net, self.make = nn.Linear(6, 3), make

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def configure_callbacks(self) -> Any:
        return self.make()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.5)


class WithFiles(Net):
    """Notes the files of its fit, and begins each fit without any."""

    def on_fit_start(self) -> None:
        assert not [path for path in Path(self.trainer.default_root_dir).rglob("*") if path.is_file()]

    def on_fit_end(self) -> None:
        root = Path(self.trainer.default_root_dir)
        found = sorted(str(p.relative_to(root)) for p in root.rglob("*.ckpt"))
        with open(os.environ["FILES_OF_FITS"], "a") as file:
            file.write(json.dumps(found) + "\n")


SAVED: dict[str, tuple[Callable[[], list[Any]], list[str]]] = {
    "each epoch": (lambda: [kinds.ModelCheckpoint()], ["epoch=1-step=6.ckpt"]),
    "the last": (
        lambda: [kinds.ModelCheckpoint(monitor="loss", save_last=True, save_top_k=1, filename="{epoch}")],
        ["epoch=1.ckpt", "last.ckpt"],
    ),
    "by step": (
        lambda: [kinds.ModelCheckpoint(every_n_train_steps=2, save_top_k=-1, filename="{step}")],
        ["step=2.ckpt", "step=4.ckpt", "step=6.ckpt"],
    ),
    "all": (lambda: [kinds.ModelCheckpoint(save_top_k=-1, filename="{epoch}")], ["epoch=0.ckpt", "epoch=1.ckpt"]),
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[str]]]:
    (tmp_path / "current").mkdir()
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("FILES_OF_FITS", str(tmp_path / "files"))
    return lambda: [json.loads(line) for line in (tmp_path / "files").read_text().splitlines()]


def federated(module: pl.LightningModule, **trainer: Any) -> Federated:
    return Federated(module, TensorSamples(*numbers(24)), cut(12, 12), **trainer)


@pytest.mark.parametrize("by_option", [False, True])
@pytest.mark.parametrize("name", some_slow(SAVED, ["the last"]))
def test_files_of_a_fit_are_in_a_folder_that_is_emptied(name: str, by_option: bool, files: Any, tmp_path: Path) -> None:
    make, expected = SAVED[name]
    options = {"options": {"callbacks": make()}} if by_option else {}
    run = federated(WithFiles(list if by_option else make), **options)
    (tmp_path / "files").write_text("")
    list(run.round(epochs=2))
    assert files() == [[f"fedlit/0/checkpoints/{name}" for name in expected]] * 2
    assert os.listdir() == [], "nothing is in the current folder"
    base = run.worker.host.options.fit_folder.base
    assert base.exists()
    del run
    gc.collect()
    assert not base.exists()


def test_a_dirpath_is_honoured_and_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = federated(Net(lambda: [kinds.ModelCheckpoint(dirpath=tmp_path / "mine")]))
    run.round()
    messages = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(messages) == 1 and f"all clients go to {tmp_path / 'mine'}" in messages[0]
    assert len(os.listdir(tmp_path / "mine")) == 2


def test_early_stopping_counts_what_was_trained() -> None:
    stops = [kinds.EarlyStopping("loss", patience=1, min_delta=10.0, check_on_train_epoch_end=True)]
    torch.manual_seed(0)
    run = federated(Net(), options={"callbacks": stops}, limit_train_batches=2)
    returned = run.round(epochs=5)
    assert [facts(returned)[c]["steps"] for c in (0, 1)] == [4, 4], "two epochs of two batches"
    assert [facts(returned)[c]["skipped"] for c in (0, 1)] == [8, 8], "a batch of four in each epoch that ran"
    torch.manual_seed(0)
    two = federated(Net(), limit_train_batches=2).round(epochs=2)
    assert all(torch.equal(delta(a), delta(b)) for a, b in zip(returned, two, strict=True))


RUNS: dict[str, Callable[[], list[Any]]] = {
    "EarlyStopping": lambda: [kinds.EarlyStopping("loss")],
    "ModelCheckpoint": lambda: [kinds.ModelCheckpoint(monitor="loss")],
    "Timer": lambda: [kinds.Timer(duration="00:01:00:00")],
    "StochasticWeightAveraging": lambda: [kinds.StochasticWeightAveraging(0.1, swa_epoch_start=1)],
    "GradientAccumulationScheduler": lambda: [kinds.GradientAccumulationScheduler({1: 2})],
    "ModelSummary": lambda: [kinds.ModelSummary()],
    "OnExceptionCheckpoint": lambda: [kinds.OnExceptionCheckpoint("of_an_exception")],
    "LambdaCallback": lambda: [
        kinds.LambdaCallback(on_train_epoch_end=lambda trainer, module: module.log("mine", 3.0))
    ],
    "ModelPruning": lambda: [kinds.ModelPruning("l1_unstructured", amount=0.5, use_lottery_ticket_hypothesis=False)],
}


@pytest.mark.parametrize("by_option", [False, True])
@pytest.mark.parametrize("name", some_slow(RUNS, ["EarlyStopping", "ModelCheckpoint"]))
def test_a_callback_trains(name: str, by_option: bool, files: Any) -> None:
    options = {"options": {"callbacks": RUNS[name]()}} if by_option else {}
    returned = federated(Net(list if by_option else RUNS[name]), **options).round(epochs=3)
    assert all(f["steps"] >= 5 for f in facts(returned).values())
    assert os.listdir() == []
    if name == "LambdaCallback":
        assert all(f["logged"]["mine"] == 3.0 for f in facts(returned).values())


def test_averaged_weights_of_batch_normalisation_have_an_epoch_more() -> None:
    module = Net(RUNS["StochasticWeightAveraging"])
    module.net = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))  # type: ignore[assignment]
    run = federated(module)
    returned = facts(run.round(epochs=3))
    assert [f["steps"] for f in returned.values()] == [10, 10], "Lightning steps once in the epoch that it adds"


REFUSED = {
    "LearningRateFinder": (kinds.LearningRateFinder, "trains before each fit to find the learning rate"),
    "BatchSizeFinder": (kinds.BatchSizeFinder, "trains before each fit to find batch_size"),
}


@pytest.mark.parametrize("by_option", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_a_callback_that_trains_by_itself_is_refused(name: str, by_option: bool) -> None:
    make, match = REFUSED[name]
    with pytest.raises(InputError, match=match):
        federated(
            Net(list if by_option else lambda: [make()]), **({"options": {"callbacks": [make()]}} if by_option else {})
        )


def test_a_progress_bar_for_each_client_is_refused() -> None:
    for callbacks in ([kinds.TQDMProgressBar()], kinds.TQDMProgressBar()):
        with pytest.raises(InputError, match="TQDMProgressBar would draw a bar for each client's fit"):
            LightningTrainer(options={"callbacks": callbacks})


PRINTS = {
    "a bar": lambda: [kinds.TQDMProgressBar()],
    "not in a list": kinds.RichProgressBar,
    "in a tuple": lambda: (kinds.RichModelSummary(),),
    "among others": lambda: [kinds.ModelSummary(), kinds.EarlyStopping("loss"), kinds.RichProgressBar()],
}


@pytest.mark.parametrize("name", PRINTS)
def test_callbacks_of_a_module_that_print_are_left_out(
    name: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    begin_run()
    deltas = []
    for make in (list, PRINTS[name]):
        torch.manual_seed(0)
        deltas.append([delta(returned) for returned in federated(Net(make)).round()])
    assert all(torch.equal(a, b) for a, b in zip(*deltas, strict=True))
    assert capfd.readouterr() == ("", "")
    warned = [r.getMessage() for r in caplog.records if "would print for each client's fit" in r.getMessage()]
    assert warned and len(warned) == len(set(warned))


def test_what_lightning_refuses_is_one_sentence_before_training() -> None:
    class Refuses(pl.Callback):
        def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
            raise pl.utilities.exceptions.MisconfigurationException("It needs\na cluster.")

    with pytest.raises(InputError, match="Net cannot be trained as it is configured: It needs a cluster; change the"):
        federated(Net(lambda: [Refuses()]))


# --- the folder ------------------------------------------------------------------------------------------------------
def _write_and_die(pickled: bytes, ready: Any) -> None:
    folder = pickle.loads(pickled)
    folder.path.mkdir(parents=True)
    (folder.path / "file").write_text("x")
    ready.set()
    signal.pause()


def test_the_folders_of_all_processes_are_removed_by_the_first_object() -> None:
    folder = FitFolder()
    copy = pickle.loads(pickle.dumps(folder))
    for path in (folder.path, folder.base / "another process"):
        path.mkdir(parents=True)
        (path / "file").write_text("x")
    folder.empty()
    assert list(folder.path.iterdir()) == [] and (folder.base / "another process" / "file").exists()
    base = folder.base
    copy.path.mkdir(exist_ok=True)
    del copy
    assert base.exists(), "a copy removes its own"
    del folder
    assert not base.exists()


@pytest.mark.slow
def test_the_folder_of_a_killed_worker_is_removed() -> None:
    folder, context = FitFolder(), multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_write_and_die, args=(pickle.dumps(folder), ready))
    process.start()
    assert ready.wait(60) and process.pid is not None
    assert (folder.base / str(process.pid) / "file").exists() and not folder.path.exists()
    process.kill()
    process.join()
    base = folder.base
    del folder
    assert not base.exists()
