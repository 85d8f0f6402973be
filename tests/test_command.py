"""The command as a process of its own: exit codes, and what is not imported to refuse a word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`python -m fedlit.run` in a folder whose modules come before those installed."""
    return subprocess.run(
        [sys.executable, "-m", "fedlit.run", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(CHECKOUT)])},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def no_torch(tmp_path):
    """A folder where importing torch or Lightning fails."""
    for name in ("torch", "torchvision", "lightning"):
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('{name} was imported')\n")
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ["clients=ten"],
        ["clients=0"],
        ["rounds=-1"],
        ["participation=1.5"],
        ["batch_size=0"],
        ["partition=dirichlet", "partition.alpha=0"],
        ["--multirun", "clients=10,ten"],
        ["partition=dirchlet"],
        ["+partition.alhpa=1"],
        ["resume=nowhere"],
        ["--seed=3"],
    ],
    ids=" ".join,
)
def test_refused_in_one_sentence_without_torch(no_torch, words):
    before = sorted(no_torch.iterdir())
    done = command(no_torch, *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and words[-1].lstrip("+").partition("=")[0] in done.stderr
    assert sorted(file for file in no_torch.iterdir() if file.name != "__pycache__") == before


def test_the_configuration_is_shown_without_torch(no_torch):
    done = command(no_torch, "--cfg", "job", "clients=3", "model._target_=mine.Net", "model.lr=0.2")
    assert done.returncode == 0, done.stderr
    assert "clients: 3\n" in done.stdout
    assert "model:\n  _target_: mine.Net\n  lr: 0.2\n" in done.stdout


def test_torchvision_of_another_torch_is_one_sentence(tmp_path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    done = command(tmp_path, "model=resnet18")  # older versions of torchmetrics do not import torchvision themselves
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("torch and torchvision do not fit together (torch ")
    assert done.stderr.count("\n") == 1
