"""A run that is killed with its helpers, and resumed, has each round once in each service, by the real packages."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.small_runs import rows
from tests.tracking.test_services import CLASSES, stored

WORDS = ("clients=3", "threads=1", "device=cpu", "progress=none", "rounds=6", "checkpoint.every=0")


@pytest.mark.slow
def test_each_round_is_once_in_each_service_after_a_kill(tmp_path: Path, monkeypatch: Any) -> None:
    services = [name for name in CLASSES if find_spec(name) is not None]
    if not services:
        pytest.skip("none is installed: pip install 'fedlit[wandb,mlflow,trackio]'")
    monkeypatch.chdir(tmp_path)
    for name, value in {"WANDB_MODE": "offline", "TRACKIO_DIR": str(tmp_path / "trackio")}.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_TRACKING_URI", "WANDB_SERVICE"):  # the second is the process of wandb that this process began
        monkeypatch.delenv(name, raising=False)
    killer = "logger.killer._target_=tests.small_runs.Kill"
    command = [sys.executable, "-m", "fedlit.run"]
    first = [*command, *WORDS, f"logger=[csv,{','.join(services)}]", killer, "hydra.run.dir=run"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(first, env=environment, start_new_session=True)
    assert process.wait() == -signal.SIGKILL
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what it has started, such as the process of wandb
    subprocess.run([*command, "resume=run"], env=environment, check=True)
    if "trackio" in services:
        for module in ("trackio.utils", "trackio.sqlite_storage"):
            monkeypatch.setattr(importlib.import_module(module), "TRACKIO_DIR", tmp_path / "trackio")
    run = tmp_path / "run"
    expected = [(row["round"], row["global/test/accuracy"]) for row in rows(run)]
    assert [number for number, _ in expected] == [1, 2, 3, 4, 5, 6]
    for service in services:
        assert stored(run, service)["global/test/accuracy"] == expected, service
    table = importlib.import_module("pandas").read_csv(run / "metrics.csv")
    assert list(zip(table["step"], table["global/test/accuracy"], strict=True)) == expected
