"""evaluation.per_client=true: the metrics of each client after each round, in clients.jsonl and clients.png."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedlit
from fedlit.tracking.client_curves_figure import client_curves_figure
from tests.slow import some_slow
from tests.small_runs import command, rows

QUICK = [
    *("clients=5", "rounds=3", "threads=1", "device=cpu", "logger=none", "progress=none", "model.hidden=[4]"),
    *("participation=0.4", "evaluation.client_validation=0.2", "checkpoint.every=0", "checkpoint.keep=9", "seed=2"),
    *("evaluation.per_client=true", "partition=dirichlet"),
]
CASES = [
    *("aggregator=fedavg", "aggregator=fedper store=disk trainer=vectorized evaluation.clients=3"),
    *("aggregator=ditto", "aggregator=centralized", "evaluation.finetune=1", "evaluation.every=2"),
    *("aggregator=local evaluation.each_epoch=true", "engine=processes engine.workers=2 aggregator=apfl"),
]


def lines(run: Path) -> list[dict[str, Any]]:
    """Those of clients.jsonl, without durations."""
    read = [json.loads(line) for line in (run / "clients.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in read]


@pytest.mark.parametrize("words", some_slow(CASES, CASES[:2]))
def test_the_lines_of_a_round_have_the_clients_that_its_metrics_are_made_of(in_folder: Path, words: str) -> None:
    assert command(*QUICK, *words.split(), "hydra.run.dir=run") == 0
    written = lines(Path("run"))
    places = [(line["round"], line["client"]) for line in written]
    assert places == sorted(set(places))
    for row in rows(Path("run")):
        of_round = [line for line in written if line["round"] == row["round"]]
        assert sum("examples" in line for line in of_round) == row["cohort/arrived"]
        used = [line["used"] for line in of_round if line.get("used")]
        if "clients/used/evaluated" not in row:
            assert not used
            continue
        for metric in ("accuracy", "loss", "validation_loss"):
            values = [client[metric] for client in used if metric in client]
            assert values and np.mean(values) == pytest.approx(row[f"clients/used/{metric}/mean"], rel=1e-12)
        for model in ("global", "personal"):
            values = [line[model]["accuracy"] for line in of_round if "accuracy" in line.get(model, {})]
            assert bool(values) == (f"clients/{model}/accuracy/mean" in row)
            if values:
                assert np.mean(values) == pytest.approx(row[f"clients/{model}/accuracy/mean"], rel=1e-12)
    frame = fedlit.load("run").clients
    assert list(frame.index) == places and "used/accuracy" in frame.columns


@pytest.mark.parametrize("words", some_slow(CASES[:6], CASES[2:3]))
def test_a_run_that_was_killed_and_resumed_has_the_same_lines(in_folder: Path, words: str) -> None:
    assert command(*QUICK, *words.split(), "hydra.run.dir=alone") == 0
    shutil.copytree("alone", "run")
    for name in ("checkpoints/round_0003", "checkpoints/round_0002"):
        shutil.rmtree(Path("run") / name)  # as if killed while round 3 was written
    Path("run/summary.json").unlink()
    whole = Path("run/clients.jsonl").read_bytes()
    Path("run/clients.jsonl").write_bytes(whole[: len(whole) - 30])
    assert command("resume=run") == 0
    assert lines(Path("run")) == lines(Path("alone"))


def test_without_it_no_file_is_written(in_folder: Path) -> None:
    assert command(*QUICK, "evaluation.per_client=false", "rounds=1", "hydra.run.dir=run") == 0
    assert not Path("run/clients.jsonl").exists()


def test_the_figure_has_a_line_a_client_and_their_mean() -> None:
    records = [
        {"round": number, "client": client, "used": {"accuracy": 0.1 * client + 0.01 * number, "validation_loss": 1.0}}
        for number in (1, 2, 4)
        for client in (0, 3, 7)
        if (number, client) != (1, 3)
    ]
    records.append({"round": 4, "client": 9, "examples": 3})  # trained, and not measured
    figure = client_curves_figure(records, "mine")
    assert figure is not None
    [axes] = [axes for axes in figure.axes if axes.axison]
    assert axes.get_ylabel() == "accuracy"
    *of_clients, mean = axes.get_lines()
    assert [list(line.get_xdata()) for line in of_clients] == [[1, 2, 4], [1, 2, 4], [2, 4]]
    assert mean.get_ydata()[-1] == pytest.approx((0.0 + 0.3 + 0.7) / 3 + 0.04)
    assert {text.get_text() for text in axes.texts} == {"client 0", "3", "client 7"}
    assert client_curves_figure(records[:2]) is None
    assert client_curves_figure([{"round": 1, "client": 0}]) is None


def test_numbers_of_clients_do_not_overlap() -> None:
    """Seven lines end at nearly one value, one that is not finite has no number, and one is apart."""
    ends = {**{client: 0.5 + 1e-4 * client for client in range(7)}, 7: float("nan"), 8: 0.9}
    records = [
        {"round": number, "client": client, "used": {"accuracy": end if number == 2 else 0.1}}
        for client, end in ends.items()
        for number in (1, 2)
    ]
    figure = client_curves_figure(records)
    assert figure is not None
    figure.canvas.draw()
    texts = figure.axes[0].texts
    assert [text.get_text() for text in texts] == ["client 0", *"123456", "client 8"]
    boxes = [text.get_window_extent() for text in texts]
    assert all(below.y1 <= above.y0 for below, above in itertools.pairwise(boxes))
    assert texts[-1].get_position()[1] == 0 and boxes[-1].y1 < figure.bbox.height
