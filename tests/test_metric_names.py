"""Every name of a metric is declared once, in `fedlit/metric_names.py`, and README.md shows the declarations."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedlit.metric_names import METRICS, table
from tests.slow import some_slow
from tests.small_runs import (
    AWKWARD,
    AWKWARD_CLASSES,
    AWKWARD_SHAPE,
    OPTIONS,
    SITES,
    Awkward,
    composed,
    go,
    small,
    write_npz,
)

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fedlit"
SPELLED = re.compile(r"(clients|global|train|cohort|comm|update|time|spread)/")


class Logging(Awkward):
    """Logs two values in its training step, one of them under a name with a slash."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        self.log("doubled", 2 * loss)
        self.log("size/of_batch", torch.tensor(float(len(batch[0]))))
        return loss


class Failing(Awkward):
    """Raises on samples with large inputs."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        if bool((batch[0] > 1000).any()):
            raise ArithmeticError("a sensor is broken")
        return super().training_step(batch, batch_idx)


@pytest.fixture
def series(tmp_path: Path) -> Path:
    return write_npz(tmp_path / "series.npz", AWKWARD_SHAPE, AWKWARD_CLASSES, SITES, images=False)


def settings(series: Path, module: str = "Awkward", trainer: str = "lightning") -> dict[str, Any]:
    f1 = {"_target_": "torchmetrics.classification.MulticlassF1Score", "num_classes": AWKWARD_CLASSES}
    return {
        **AWKWARD,
        "data": composed("data=npz").config.data,
        "data.path": str(series),
        "partition": composed("partition=natural").config.partition,
        "model": {"_target_": f"tests.{'small_runs' if module == 'Awkward' else 'test_metric_names'}.{module}"},
        "trainer": composed(f"trainer={trainer}").config.trainer,
        "logger": composed("logger=none").config.logger,
        "evaluation.metrics": {"f1": f1},
        "evaluation.each_epoch": True,
    }


def check(metrics: list[dict[str, Any]]) -> set[str]:
    """Every name belongs to exactly one declaration, and every client is counted once; returns the names."""
    for row in metrics:
        for name in row.keys() - {"round"}:
            assert len([metric for metric in METRICS if metric.matches(name)]) == 1, name
        assert row["cohort/asked"] == row["cohort/arrived"] + row["cohort/lost"] + row["cohort/idle"]
    return {name for row in metrics for name in row}


QUICK = [
    "fedavg",
    "ditto",
    "local",
    "centralized",
    "cfl",
]  # a global model, one beside others, none, one client, groups


@pytest.mark.parametrize("aggregator", some_slow(OPTIONS["aggregator"], QUICK))
def test_every_name_in_a_run_is_declared(aggregator: str, series: Path, tmp_path: Path) -> None:
    names = check(go(small([f"aggregator={aggregator}"], settings(series)), tmp_path / "run"))
    assert "clients/trained/f1/worst_decile" in names or aggregator == "centralized"
    assert "global/validation/f1" in names or "clients/personal/validation_f1/mean" in names


@pytest.mark.parametrize("trainer", OPTIONS["trainer"])
def test_names_of_logged_values_are_declared(trainer: str, series: Path, tmp_path: Path) -> None:
    names = check(go(small([], settings(series, "Logging", trainer)), tmp_path / "run"))
    assert {"train/log/doubled", "train/log/size/of_batch"} <= names


def test_lost_and_idle_clients_are_counted_once(tmp_path: Path) -> None:
    """Site 1 has one sample, which batch normalisation cannot train on; the module raises on the samples of site 2."""
    file = write_npz(tmp_path / "series.npz", AWKWARD_SHAPE, AWKWARD_CLASSES, (13, 1, 6, 5), images=False)
    arrays = dict(np.load(file))
    arrays["x_train"][arrays["sites_train"] == 2] = 2000
    np.savez(file, **arrays)
    changes = {
        **settings(file, "Failing"),
        "data.normalize": "none",
        "clients": 4,
        "participation": 1.0,
        "evaluation.client_validation": 0.0,
        "server_samples": 0,
        "engine.on_failure": "drop",
    }
    metrics = go(small([], changes), tmp_path / "run")
    check(metrics)
    for row in metrics:
        assert [row[f"cohort/{part}"] for part in ("asked", "arrived", "lost", "idle")] == [4, 2, 1, 1]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["lost"], summary["idle"]) == (2, 2)


def test_readme_has_the_table_of_metric_names() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    begin, end = "<!-- metric names: made by `python -m fedlit.metric_names` -->\n", "\n<!-- end of metric names -->"
    assert text[text.index(begin) + len(begin) : text.index(end)] == table(), (
        "README.md is old: put the output of `python -m fedlit.metric_names` between the two comments"
    )


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    """The strings of a file, f-strings too, without docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "metric_names.py"],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_no_other_file_spells_the_name_of_a_metric(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [f"line {node.lineno}: {node.value}" for node in strings(tree) if SPELLED.match(node.value)] == []
