"""Weights & Biases, MLflow and Trackio by their real packages, offline: each round once, also after kill and resume.

A package that is not installed is skipped: pip install 'fedlit[wandb,mlflow,trackio]'.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from fedlit.errors import InputError
from fedlit.global_generators import generator_states
from fedlit.tracking import MetricsFile
from fedlit.tracking.service import FILE, Service
from fedlit.tracking.wandb_file import history
from tests.tracking.runs import about, row

Points = dict[str, list[tuple[int, float]]]  # metric -> (round, value) of each entry in the store

CLASSES = {"wandb": "wandb_run.Wandb", "mlflow": "mlflow_run.Mlflow", "trackio": "trackio_run.Trackio"}


@pytest.fixture(params=CLASSES)
def service(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Any) -> Iterator[str]:
    name = str(request.param)
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install 'fedlit[{name}]'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if name == "trackio":
        _move_trackio(tmp_path / "trackio", monkeypatch)
    yield name


def _move_trackio(folder: Path, monkeypatch: Any) -> None:
    """Trackio reads TRACKIO_DIR as it is imported."""
    monkeypatch.setenv("TRACKIO_DIR", str(folder))
    for module in ("trackio", "trackio.utils", "trackio.sqlite_storage"):
        monkeypatch.setattr(importlib.import_module(module), "TRACKIO_DIR", folder)


def make(service: str) -> Service:
    module, _, name = CLASSES[service].partition(".")
    cls = getattr(importlib.import_module(f"fedlit.tracking.{module}"), name)
    logger: Service = cls(mode="offline") if service == "wandb" else cls()
    return logger


def tell(folder: Path, service: str, numbers: list[int], resumed_after: int = 0, end: int | None = None) -> None:
    """What a run of these rounds sends. `end` is the last round of its summary; None is an error before the end."""
    folder.mkdir(exist_ok=True)
    run = about(folder, resumed_after=resumed_after)
    file, logger = MetricsFile(), make(service)
    file.start(run)
    logger.start(run)
    for number in numbers:
        file.round(number, row(number), {})
        logger.round(number, row(number), {})
    if end is not None:
        logger.finish({"rounds": end})
    logger.close()
    logger.close()


def stored(folder: Path, service: str) -> Points:
    """All entries of the run in the service's store."""
    run = json.loads((folder / FILE).read_text())[service]
    points: Points = {}
    if service == "wandb":
        for path in sorted(folder.glob(f"wandb/offline-run-*-{run}*/*.wandb")):
            for step, values in history(path):
                for name, value in values.items():
                    points.setdefault(name, []).append((step, float(json.loads(value))))
    elif service == "mlflow":
        client = importlib.import_module("mlflow").MlflowClient("sqlite:///mlflow.db")
        for name in client.get_run(run).data.metrics:
            points[name] = [(point.step, point.value) for point in client.get_metric_history(run, name)]
    else:
        storage = importlib.import_module("trackio.sqlite_storage").SQLiteStorage
        for entry in storage.get_logs("fedlit", run):
            for name, value in entry.items():
                if name not in ("step", "timestamp"):
                    points.setdefault(name, []).append((entry["step"], value))
    return points


ACCURACY = [(number, number / 8) for number in range(1, 6)]
SPREAD = [(2, 0.25), (4, 0.25)]


def check(folder: Path, service: str) -> None:
    points = stored(folder, service)
    assert points["global/test/accuracy"] == ACCURACY
    assert points["clients/received/accuracy/std"] == SPREAD


def test_each_round_is_sent_once(service: str, tmp_path: Path) -> None:
    generators = generator_states()
    tell(tmp_path / "run", service, [1, 2, 3, 4, 5], end=5)
    assert generator_states() == generators
    check(tmp_path / "run", service)


def test_a_resumed_run_goes_on_in_the_same_run(service: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tell(folder, service, [1, 2, 3, 4])
    run = (folder / FILE).read_text()
    tell(folder, service, [3, 4, 5], resumed_after=2, end=5)
    assert (folder / FILE).read_text() == run
    check(folder, service)


def test_rounds_that_a_kill_kept_from_the_store_are_sent_from_the_metrics_file(service: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tell(folder, service, [1])
    MetricsFile.start(file := MetricsFile(), about(folder, resumed_after=1))
    for number in (2, 3):
        file.round(number, row(number), {})
    tell(folder, service, [4, 5], resumed_after=3, end=5)
    check(folder, service)


def test_two_runs_of_one_name_are_two(service: str, tmp_path: Path) -> None:
    for name in ("first", "second"):
        tell(tmp_path / name, service, [1, 2, 3, 4, 5], end=5)
    check(tmp_path / "first", service)
    check(tmp_path / "second", service)


@pytest.mark.parametrize(("end", "status"), [(5, "FINISHED"), (2, "KILLED"), (None, "FAILED")])
def test_mlflow_knows_how_a_run_ended_and_its_settings(tmp_path: Path, monkeypatch: Any, end: Any, status: str) -> None:
    mlflow = pytest.importorskip("mlflow", reason="pip install 'fedlit[mlflow]'")
    monkeypatch.chdir(tmp_path)
    tell(tmp_path / "run", "mlflow", [1, 2], end=end)
    run = mlflow.MlflowClient("sqlite:///mlflow.db").get_run(
        json.loads((tmp_path / "run" / FILE).read_text())["mlflow"]
    )
    assert run.info.status == status and run.info.run_name == "a run"
    assert run.data.params["partition/alpha"] == "0.5" and run.data.params["seed"] == "7"


def test_mlflow_finds_its_file_when_a_run_is_resumed_from_another_folder(tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("mlflow", reason="pip install 'fedlit[mlflow]'")
    monkeypatch.chdir(tmp_path)
    tell(tmp_path / "run", "mlflow", [1, 2, 3])
    (tmp_path / "run" / ".hydra").mkdir()
    (tmp_path / "run" / ".hydra" / "hydra.yaml").write_text(f"hydra: {{runtime: {{cwd: {tmp_path}}}}}\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    tell(tmp_path / "run", "mlflow", [4, 5], resumed_after=3, end=5)
    assert not any(Path().iterdir())
    monkeypatch.chdir(tmp_path)
    check(tmp_path / "run", "mlflow")


def test_a_store_that_cannot_be_opened_is_said_before_the_first_round(tmp_path: Path, monkeypatch: Any) -> None:
    pytest.importorskip("mlflow", reason="pip install 'fedlit[mlflow]'")
    monkeypatch.chdir(tmp_path)
    logger = importlib.import_module("fedlit.tracking.mlflow_run").Mlflow(tracking_uri="nowhere://x")
    with pytest.raises(
        InputError, match=r"logger=mlflow cannot use nowhere://x .*; write logger\.mlflow\.tracking_uri="
    ):
        logger.start(about(tmp_path))
    logger.close()
