"""The wheel: built, installed beside nothing of the checkout, and run in another folder by both commands."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
MODULE = """
import torch
from lightning import LightningModule


class Net(LightningModule):
    def __init__(self, lr):
        super().__init__()
        self.lr = lr
        self.layer = torch.nn.Linear(64, 10)

    def forward(self, x):
        return self.layer(x.flatten(1))

    def training_step(self, batch, batch_idx):
        x, y = batch
        return torch.nn.functional.cross_entropy(self(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("hatchling", reason="needs the build backend: pip install hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    call = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        folder,
        CHECKOUT,
    ]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("fedlit-*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the wheel in it, and the console script in its `bin`; dependencies are those of this Python."""
    target = tmp_path_factory.mktemp("installed")
    call = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(params=["python -m fedlit.run", "fedlit"])
def command(request, installed, tmp_path):
    """Runs one of the two commands in a folder that holds `mine.py`."""
    (tmp_path / "mine.py").write_text(MODULE)
    start = (
        [sys.executable, "-m", "fedlit.run"] if " " in request.param else [sys.executable, installed / "bin" / "fedlit"]
    )

    def run(*words):
        env = {**os.environ, "PYTHONPATH": str(installed)}
        return subprocess.run([*start, *words], cwd=tmp_path, env=env, capture_output=True, text=True)

    return run


def test_the_wheel_carries_every_option_and_nothing_else_of_the_checkout(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {
        f"fedlit/conf/{file.relative_to(CHECKOUT / 'conf').as_posix()}" for file in (CHECKOUT / "conf").rglob("*.yaml")
    }
    assert shipped <= set(names)
    assert {"fedlit/py.typed", "fedlit/__init__.pyi"} <= set(names)
    assert {"fedlit/report/page.html.j2", "fedlit/report/paper.mplstyle"} <= set(names)  # no Python files
    assert {name.split("/")[0] for name in names} == {
        "fedlit",
        next(n for n in names if "dist-info" in n).split("/")[0],
    }
    assert not [name for name in names if name.endswith(".pyc")]


def test_both_commands_find_the_options(command):
    helped = command("--help")
    assert helped.returncode == 0, helped.stderr
    assert "dirichlet" in helped.stdout
    shown = command("--cfg", "job", "partition=dirichlet")
    assert shown.returncode == 0, shown.stderr
    assert "_target_: fedlit.partitions.Dirichlet" in shown.stdout
    assert command("partition=dirchlet").returncode == 2


def test_both_commands_run_a_module_of_the_current_folder(command, tmp_path):
    done = command("model._target_=mine.Net", "model.lr=0.2", "clients=2", "rounds=1", "hydra.run.dir=here")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here" / "summary.json").is_file()
