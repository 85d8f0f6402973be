"""Evaluating more often, or on more clients, changes no bit of training."""

from __future__ import annotations

from fedlit.run import main
from fedlit.tracking.metrics_file import read


def test_evaluating_more_often_changes_no_bit_of_training(tmp_path):
    words = ["rounds=3", "clients=4", "threads=1", "progress=none", "logger=none"]
    often = [*words, "evaluation.every=1", f"hydra.run.dir={tmp_path}/often"]
    seldom = [*words, "evaluation.every=3", "evaluation.clients=1", f"hydra.run.dir={tmp_path}/seldom"]
    for run in (often, seldom):
        assert main(run) == 0
    many, few = (read(tmp_path / name / "metrics.jsonl") for name in ("often", "seldom"))
    trained = ("round", "train/loss", "update/norm", "update/cosine")
    assert [[row[n] for n in trained] for row in many] == [[row[n] for n in trained] for row in few]
    evaluated = [any(n.startswith(("global/", "clients/")) for n in row) for row in few]
    assert evaluated == [False, False, True]
    assert many[-1]["global/test/loss"] == few[-1]["global/test/loss"]
