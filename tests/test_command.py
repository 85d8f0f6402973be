"""The command as a process of its own: exit codes, and what is not imported to refuse an override."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.slow import some_slow

CHECKOUT = Path(__file__).parents[1]


def command(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """`python -m fedlit.run` in a folder whose modules come before those installed."""
    return subprocess.run(
        [sys.executable, "-m", "fedlit.run", *overrides],
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


REFUSED = [
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
]
QUICK = [["clients=0"], ["--multirun", "clients=10,ten"], ["partition=dirchlet"], ["resume=nowhere"], ["--seed=3"]]


@pytest.mark.parametrize("overrides", some_slow(REFUSED, QUICK), ids=" ".join)
def test_refused_in_one_sentence_without_torch(no_torch, overrides):
    before = sorted(no_torch.iterdir())
    done = command(no_torch, *overrides)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and overrides[-1].lstrip("+").partition("=")[0] in done.stderr
    assert sorted(file for file in no_torch.iterdir() if file.name != "__pycache__") == before


def test_cfg_job_prints_the_configuration_without_torch(no_torch):
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


LOADING = "fedlit: loading torch and Lightning\n"


@pytest.fixture
def fails_to_load(tmp_path):
    """A folder where the import of the experiment ends the process with 0: what was printed before it is left."""
    for name in ("torch", "torchvision", "lightning"):
        (tmp_path / f"{name}.py").write_text("import os\nos._exit(0)\n")
    return tmp_path


PRINTED = [
    (["clients=3"], LOADING),
    (["progress=none"], ""),
    (["clients=0"], ""),
    (["--help"], None),
    (["--cfg", "job"], None),
    (["--info", "config"], None),
    (["--multirun", "progress=none", "clients=2,3"], None),
]


@pytest.mark.parametrize(
    ("arguments", "printed"),
    some_slow(PRINTED, [PRINTED[0], PRINTED[1], PRINTED[4]]),
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_line_says_that_fedlit_is_loading_once_the_overrides_are_known_good(fails_to_load, arguments, printed):
    done = command(fails_to_load, *arguments)
    assert done.stdout == printed if printed is not None else LOADING not in done.stdout


def test_a_sweep_says_once_that_fedlit_is_loading(fails_to_load):
    for name in ("torch", "torchvision", "lightning"):
        (fails_to_load / f"{name}.py").write_text("raise RuntimeError('not here')\n")
    done = command(fails_to_load, "--multirun", "clients=2,3")
    assert done.returncode == 1 and done.stderr.count("RuntimeError: not here") == 2
    assert done.stdout.startswith(LOADING) and done.stdout.count(LOADING) == 1


@pytest.mark.slow
def test_the_line_comes_within_half_a_second(fails_to_load):
    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)  # by the clock, it waits for what else the machine does
        assert command(fails_to_load, "clients=3").stdout == LOADING
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(9)) < 0.5


def test_a_run_imports_no_package_that_it_does_not_need(tmp_path):
    code = (
        "import sys\nfrom fedlit.run import main\n"
        "code = main(['rounds=1', 'clients=2', 'local_updates=1', 'threads=1', 'progress=none'])\n"
        "print(code, sorted({'pandas', 'sklearn', 'ray', 'cryptography', 'tenseal'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "0 []\n", done.stderr
