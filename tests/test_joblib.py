"""A sweep by Hydra's launcher for joblib (pip install "fedlit[joblib]"): its runs are in processes of their own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_runs import rows

ROOT = Path(__file__).parents[1]
WORDS = ["threads=1", "device=cpu", "rounds=1", "data=synthetic", "data.size_log_std=0", "data.sites=3", "logger=none"]
MODULE = """
import torch
from lightning import LightningModule


class Net(LightningModule):
    def __init__(self, input_shape, classes, fails=False):
        super().__init__()
        self.layer, self.fails = torch.nn.Linear(input_shape[0], classes), fails

    def training_step(self, batch, batch_idx):
        if self.fails:
            raise KeyError("a bug")
        return torch.nn.functional.cross_entropy(self.layer(batch[0]), batch[1])
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("hydra_plugins") is None
        or importlib.util.find_spec("hydra_plugins.hydra_joblib_launcher") is None,
        reason="hydra-joblib-launcher is not installed",
    ),
]


def sweep(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "joblib_net.py").write_text(MODULE)
    launched = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep"]
    return subprocess.run(
        [sys.executable, "-m", "fedlit.run", *launched, *WORDS, "model._target_=joblib_net.Net", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("chdir", ["false", "true"])
def test_a_refused_run_is_a_sentence_and_the_others_run(tmp_path: Path, chdir: str) -> None:
    done = sweep(tmp_path, "clients=3,100000", f"hydra.job.chdir={chdir}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("clients=100000 is more than") == 1 and "Traceback" not in done.stderr
    assert "clients=100000 is more than" in (tmp_path / "sweep" / "1" / "run.log").read_text()
    assert (
        len(rows(tmp_path / "sweep" / "0")) == 1 and "round 1/1" in (tmp_path / "sweep" / "0" / "run.log").read_text()
    )


def test_a_bug_keeps_its_trace_and_gives_1(tmp_path: Path) -> None:
    done = sweep(tmp_path, "clients=3,100000", "model.fails=true")
    assert done.returncode == 1
    assert done.stderr.count("KeyError: 'a bug'") >= 1 and "clients=100000 is more than" in done.stderr
    assert "KeyError: 'a bug'" in (tmp_path / "sweep" / "0" / "run.log").read_text()


def test_runs_with_one_folder_are_refused_before_the_first(tmp_path: Path) -> None:
    done = sweep(tmp_path, "clients=3", "seed=1,2", "hydra.sweep.subdir=${clients}")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("hydra.sweep.subdir: the runs `seed=1` and `seed=2` of this sweep")
    assert not (tmp_path / "sweep").exists()
