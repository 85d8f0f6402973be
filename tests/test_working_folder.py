"""`hydra.job.chdir=true` and runs resumed from elsewhere: relative paths, shown paths, user's modules, workers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from fedlit.working_folder import command_folder
from fedlit.working_folder import in_folder as entered
from tests.slow import some_slow
from tests.small_runs import command, numbers, rows

QUIET = ["rounds=1", "clients=2", "threads=1", "device=cpu", "progress=plain", "logger=none"]
MODULE = """
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from lightning import LightningDataModule, LightningModule
from fedlit.aggregators import FedAvg

SPLIT = np.load("split.npy")  # when it is imported


class Files(Dataset):
    def __init__(self, numbers):
        self.targets = [n % 2 for n in numbers]
        self.paths = [f"files/{n}.npy" for n in numbers]  # opened when they are read

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return torch.from_numpy(np.load(self.paths[index])), self.targets[index]


class Read(FedAvg):
    def __init__(self, path):
        super().__init__()
        self.size = len(np.load(path))


class Lazy:
    def __init__(self):
        self.train, self.test = Files(SPLIT[:20]), Files(SPLIT[20:])


class Module(LightningDataModule):
    def __init__(self, workers=0, start="fork"):
        super().__init__()
        self.settings = {"num_workers": workers, "multiprocessing_context": start if workers else None}

    def train_dataloader(self):
        return DataLoader(Files(SPLIT[:20]), batch_size=32, **self.settings)

    def test_dataloader(self):
        return DataLoader(Files(SPLIT[20:]), **self.settings)


class Net(LightningModule):
    def __init__(self, input_shape):
        super().__init__()
        self.layer = torch.nn.Linear(input_shape[0], 2)

    def training_step(self, batch, batch_idx):
        return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "start" / "files").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "start")
    monkeypatch.delitem(sys.modules, "lazy_data", raising=False)
    Path("lazy_data.py").write_text(MODULE)
    draws = np.random.default_rng(0).normal(size=(26, 3)).astype(np.float32)
    for number, row in enumerate(draws):
        np.save(f"files/{number}.npy", row)
    np.save("split.npy", np.arange(26))


CHOSEN = {
    "files": ["data._target_=lazy_data.Lazy"],
    "a data module": ["data._target_=lazy_data.Module"],
    "loader workers": ["data._target_=lazy_data.Module", "data.workers=1"],
    "spawned loader workers": ["data._target_=lazy_data.Module", "data.workers=1", "data.start=spawn"],
    "processes": ["data._target_=lazy_data.Lazy", "engine=processes", "engine.workers=2"],
}


@pytest.mark.parametrize("kind", some_slow(CHOSEN, ["files"]))
def test_files_that_are_opened_during_the_run_are_meant_from_its_start(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*QUIET, "model._target_=lazy_data.Net", *CHOSEN[kind]]
    words += ["aggregator._target_=lazy_data.Read", "aggregator.path=split.npy"]
    assert command(*words, "hydra.run.dir=plain") == 0
    capfd.readouterr()
    assert command(*words, "hydra.job.chdir=true", "hydra.run.dir=runs/changed") == 0
    shown = capfd.readouterr().out
    assert "folder      runs/changed\n" in shown and "| runs/changed\n" in shown
    assert numbers(Path("runs/changed")) == numbers(Path("plain"))
    monkeypatch.delitem(sys.modules, "lazy_data")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command("resume=../start/runs/changed", "rounds=2") == 0
    assert len(rows(tmp_path / "start" / "runs" / "changed")) == 2


@pytest.mark.slow
def test_a_sweep_finds_options_of_the_user_and_the_data(tmp_path: Path) -> None:
    Path("conf/data").mkdir(parents=True)
    Path("conf/data/lazy.yaml").write_text("_target_: lazy_data.Lazy\n")
    words = [*QUIET, "data=lazy", "model._target_=lazy_data.Net", "hydra.job.chdir=true"]
    for number, where in enumerate((["--config-dir", "conf"], ["hydra.searchpath=[conf]"])):
        assert command("-m", *where, *words, f"hydra.sweep.dir=sweep{number}", "seed=1,2") == 0
        assert [len(rows(Path(f"sweep{number}") / job)) for job in ("seed=1", "seed=2")] == [1, 1]


@pytest.mark.slow
def test_the_printed_command_to_go_on_is_meant_from_the_start(capfd: pytest.CaptureFixture[str]) -> None:
    words = [*QUIET, "data._target_=lazy_data.Lazy", "model._target_=lazy_data.Net", "hydra.job.chdir=true"]
    stopped = ["rounds=4", "logger=none", "logger.mine._target_=tests.small_runs.CtrlC", "hydra.run.dir=run"]
    assert command(*words, *stopped) == 130
    assert "; go on with: python -m fedlit.run resume=run\n" in capfd.readouterr().out
    assert command("resume=run") == 0


def test_a_folder_is_left_again_and_one_that_is_gone_is_not_entered(tmp_path: Path) -> None:
    before = os.getcwd()
    with pytest.raises(KeyError), entered(tmp_path):
        assert os.getcwd() == str(tmp_path)
        raise KeyError
    assert os.getcwd() == before
    with entered(tmp_path / "gone"):
        assert os.getcwd() == before


def test_after_a_run_the_folder_of_the_command_is_the_current_one(
    tmp_path: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(*QUIET, "data=synthetic", "hydra.run.dir=run") == 0
    monkeypatch.chdir(tmp_path.parent)
    assert command_folder() == tmp_path.parent
