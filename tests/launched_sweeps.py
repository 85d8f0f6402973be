"""Sweeps whose runs are in processes of their own, started as commands in a folder."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORDS = ["device=cpu", "rounds=1", "data=synthetic", "data.size_log_std=0", "data.sites=3", "logger=none"]
MODULE = """
import os
import signal
import time

import torch
from lightning import LightningModule


class Net(LightningModule):
    def __init__(self, input_shape, classes, fails=False, dies=False, seconds=0.0, lr=0.1):
        super().__init__()
        self.layer, self.fails, self.dies = torch.nn.Linear(input_shape[0], classes), fails, dies
        self.seconds, self.lr = seconds, lr

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, batch_idx):
        time.sleep(self.seconds)
        if self.fails:
            raise KeyError("a bug")
        if self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.nn.functional.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)
"""
MINE = "model._target_=launched_net.Net"


def is_installed(plugin: str) -> bool:
    """Whether a plugin of Hydra is installed, such as hydra_joblib_launcher."""
    return (
        importlib.util.find_spec("hydra_plugins") is not None
        and importlib.util.find_spec(f"hydra_plugins.{plugin}") is not None
    )


def start(
    folder: Path, *words: str, module: str = "fedlit.run", environment: Mapping[str, str] = os.environ
) -> subprocess.Popen[str]:
    """A command in a process group of its own; `launched_net.Net` is a module in its folder."""
    (folder / "launched_net.py").write_text(MODULE)
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=folder,
        env={**environment, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """What the command printed, and its exit code."""
    out, err = process.communicate(timeout=900)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def rounds_in(sweep: Path, runs: str = "*") -> int:
    """The rounds of runs that may still go on."""
    return sum(file.read_text().count("\n") for file in sweep.glob(f"{runs}/metrics.jsonl"))


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 600) -> None:
    """Wait for what a running command does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
