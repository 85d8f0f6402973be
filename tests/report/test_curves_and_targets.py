"""Curves, rounds to a target, and the pictures and the page, of runs whose numbers are worked out by hand."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fedlit.report.__main__ import main
from fedlit.report.client_curves import client_curves_figure, client_notes, client_values
from fedlit.report.columns import columns
from fedlit.report.costs import with_costs
from fedlit.report.curves import curve, curves_figure, ragged_notes
from fedlit.report.grid import read_grid
from fedlit.report.options import parse
from fedlit.report.report import make_report
from fedlit.saved_run import SavedRun
from tests.report.saved_runs import ACCURACY, LOSS, write_run

COSTS = {"comm/bytes_down": 3e6, "comm/bytes_up": 1e6, "time/fit": 2.0, "time/evaluate": 0.5}


def rows(values: list[float | None], metric: str = ACCURACY, **more: float) -> list[dict[str, float | None]]:
    return [{metric: value, **COSTS, **more} for value in values]


def two_seeds(folder: Path, first: list[float | None], second: list[float | None]) -> list[Path]:
    return [
        write_run(folder / str(seed), [f"seed={seed}"], rows(values), rounds=len(values))
        for seed, values in enumerate((first, second), 1)
    ]


def test_costs_are_summed_from_the_first_round_on(tmp_path: Path) -> None:
    frame = with_costs(SavedRun(write_run(tmp_path / "a", ["seed=1"], rows([0.1, 0.2, 0.3]))))
    assert list(frame["bytes"]) == [4e6, 8e6, 12e6] and list(frame["seconds"]) == [2.5, 5.0, 7.5]


def test_a_curve_is_the_mean_over_seeds_with_gaps_where_a_seed_is_not_finite(tmp_path: Path) -> None:
    grid = read_grid(two_seeds(tmp_path, [0.1, 0.2, 0.4], [0.3, None, 0.8]))
    line = curve(grid.groups[0], ACCURACY)
    assert line is not None
    assert list(line["mean"][[1, 3]]) == pytest.approx([0.2, 0.6]) and math.isnan(line["mean"][2])
    assert line["std"][1] == pytest.approx(0.2 / math.sqrt(2))
    assert list(line["bytes"]) == [4e6, 8e6, 12e6]


def test_a_curve_ends_where_the_first_seed_ends_and_a_note_says_so(tmp_path: Path) -> None:
    folders = two_seeds(tmp_path, [0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    lines = (folders[0] / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folders[0] / "metrics.jsonl").write_text("".join(lines[:2]))
    (folders[0] / "summary.json").write_text('{"rounds": 2, "stopped": "no better value in 2 rounds"}')
    grid = read_grid(folders)
    line = curve(grid.groups[0], ACCURACY)
    assert line is not None and list(line.index) == [1, 2]
    assert "seeds end between round 2 and round 3" in ragged_notes(grid, ACCURACY)[0]


def test_rounds_without_an_evaluation_make_no_gap(tmp_path: Path) -> None:
    every_second = [{**COSTS, **({LOSS: 1 / number} if number % 2 == 0 else {})} for number in range(1, 5)]
    grid = read_grid([write_run(tmp_path / "a", ["seed=1"], every_second)])
    line = curve(grid.groups[0], LOSS)
    assert line is not None
    assert list(line.index) == [2, 4] and list(line["mean"]) == [0.5, 0.25] and list(line["bytes"]) == [8e6, 16e6]


def test_a_method_has_the_same_colour_in_all_panels(tmp_path: Path) -> None:
    for number, (method, alpha) in enumerate([("a", "0.1"), ("b", "0.1"), ("c", "1"), ("b", "1")]):
        words = [f"aggregator={method}", f"partition.alpha={alpha}", "seed=1"]
        write_run(tmp_path / str(number), words, rows([0.1, 0.2]))
    grid = read_grid(sorted(tmp_path.iterdir()))
    figure = curves_figure(grid, columns([run for group in grid.groups for run in group.runs.values()]))
    assert figure is not None
    colors: dict[str, set[str]] = {}
    for axes in figure.axes:
        for line in axes.lines:
            colors.setdefault(line.get_label(), set()).add(line.get_color())
    assert colors.keys() == {"a", "b", "c"}
    assert all(len(of_method) == 1 for of_method in colors.values()) and len(set.union(*colors.values())) == 3
    assert [axes.get_xlabel() for axes in figure.axes[:3]] == ["round", "bytes sent, down and up", "seconds"]
    assert {axes.get_title(loc="left") for axes in figure.axes[::3]} == {"partition.alpha=0.1", "partition.alpha=1"}


def test_the_first_round_at_a_target_with_its_costs(tmp_path: Path) -> None:
    """Seed 1 reaches 0.5 in round 2 and falls again; seed 2 in round 4, exactly; 0.9 is reached by seed 2 alone."""
    folders = two_seeds(tmp_path, [0.1, 0.6, 0.4, 0.7], [0.1, 0.2, 0.3, 0.9])
    report = make_report(parse([*map(str, folders), "target=0.5,0.9"]))
    half, most = report.targets
    assert list(half.costs["round"]) == [2, 4]
    assert list(half.costs["bytes"]) == [8e6, 16e6] and list(half.costs["seconds"]) == [5, 10]
    assert (len(most.costs), most.seeds) == (1, 2)
    assert main([*map(str, folders), "target=0.5,0.9", f"out={tmp_path / 'out'}"]) == 0
    shown = (tmp_path / "out" / "rounds_to_target.md").read_text()
    assert "| 0.5 | 2 of 2 | 3.0 ± 1.4 | 12.0 ± 5.7 MB | 7.5 ± 3.5 |" in shown
    assert "| 0.9 | 1 of 2 | 4.0 | 16.0 MB | 10.0 |" in shown
    assert "leaves out those that did not" in shown


def test_equal_costs_have_no_deviation(tmp_path: Path) -> None:
    """By the formula, the deviation of three times 6.004 is 1e-15, and would be shown with eight digits."""
    for seed in (1, 2, 3):
        steps = rows([0.1, 0.6], **{"comm/bytes_up": 2e3})
        write_run(tmp_path / str(seed), [f"seed={seed}"], steps)
    main([str(tmp_path), "target=0.5"])
    assert "| 3 of 3 | 2 ± 0 | 6.004 ± 0.000 MB |" in (tmp_path / "report" / "rounds_to_target.md").read_text()


def test_a_target_of_a_loss_is_reached_from_above(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", ["seed=1"], rows([0.9, 0.5, 0.3], LOSS))
    (entry,) = make_report(parse([str(folder), "target=0.5"])).targets
    assert list(entry.costs["round"]) == [2]


def test_without_a_target_the_ends_of_the_worst_and_the_best_row_are_the_targets(tmp_path: Path) -> None:
    """A loss of 1.1821 is reached from above at 1.19."""
    for number, (method, end) in enumerate([("a", 1.1821), ("b", 0.5), ("c", 0.7)]):
        write_run(tmp_path / str(number), [f"aggregator={method}", "seed=1"], rows([2.0, end], LOSS))
    folders = sorted(tmp_path.iterdir())
    report = make_report(parse([*map(str, folders), f"out={tmp_path / 'out'}"]))
    targets = [(entry.target, entry.row, list(entry.costs.get("round", []))) for entry in report.targets]
    assert targets == [(1.19, row, [2]) for row in range(3)] + [(0.5, 0, []), (0.5, 1, [2]), (0.5, 2, [])]
    summary = {"rounds": 2, "stopped": None, "targets": {LOSS: [{"value": 0.75, "round": 2}]}}
    (folders[2] / "summary.json").write_text(json.dumps(summary))  # the run's own target comes first
    report = make_report(parse([*map(str, folders), f"out={tmp_path / 'out'}"]))
    assert [(entry.target, len(entry.costs)) for entry in report.targets] == [(0.75, 0), (0.75, 1), (0.75, 1)]


def clients_jsonl(folder: Path, values: list[dict[int, float]]) -> None:
    """As a run writes it with evaluation.per_client=true: client -> accuracy, by round."""
    lines = [
        json.dumps({"round": number, "client": client, "used": {"accuracy": value}}) + "\n"
        for number, of_round in enumerate(values, 1)
        for client, value in of_round.items()
    ]
    (folder / "clients.jsonl").write_text("".join(lines))


def test_each_client_is_a_line_of_the_first_seed_that_has_them(tmp_path: Path) -> None:
    folders = two_seeds(tmp_path, [0.1, 0.2, 0.3], [0.3, 0.4, 0.5])
    clients_jsonl(folders[1], [{0: 0.25, 7: 0.5}, {7: 0.75}, {0: 0.5, 7: 1.0}])  # client 0 is not measured in round 2
    grid = read_grid(folders)
    seed, values = client_values(grid.groups[0], ACCURACY)
    assert seed == 2 and list(values.columns) == [0, 7] and list(values[7]) == [0.5, 0.75, 1.0]
    figure = client_curves_figure(grid, ACCURACY)
    first, second, mean = figure.axes[0].lines
    assert list(first.get_xdata()) == [1, 3] and list(first.get_ydata()) == [0.25, 0.5]
    assert list(second.get_ydata()) == [0.5, 0.75, 1.0]
    assert list(mean.get_ydata()) == [0.375, 0.75, 0.75]
    assert "seed=2" in figure.axes[0].get_title()


def test_runs_without_values_of_each_client_have_no_such_figure(tmp_path: Path) -> None:
    folders = two_seeds(tmp_path, [0.1], [0.3])
    (folders[0] / "clients.jsonl").write_text('{"round": 1, "client": 3, "loss": 0.5, "epochs": []}\n')
    assert client_curves_figure(read_grid(folders), ACCURACY) is None


def test_many_clients_are_thinned_out_with_a_note(tmp_path: Path) -> None:
    folders = two_seeds(tmp_path, [0.1], [0.3])
    clients_jsonl(folders[0], [{client: client / 250 for client in range(250)}])
    grid = read_grid(folders)
    lines = client_curves_figure(grid, ACCURACY).axes[0].lines
    assert len(lines) == 101 and [line.get_ydata()[0] for line in lines[:3]] == [0, 0.008, 0.02]
    assert lines[-1].get_ydata()[0] == pytest.approx(sum(range(250)) / 250 / 250)  # of all
    assert client_notes(grid, ACCURACY) == ["Curves of clients: 100 of 250 clients are drawn, at equal distances."]


class _Page(HTMLParser):
    """Collects the addresses that a page loads, and its cells."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "data")]


def test_the_page_holds_all_of_itself_and_escapes_texts(tmp_path: Path) -> None:
    clients = {f"clients/used/accuracy/{name}": 0.4 for name in ("mean", "std", "worst", "worst_decile")}
    for number, (method, alpha) in enumerate([("a", "0.1"), ("a", "1"), ("<b>", "0.1"), ("<b>", "1")]):
        words = [f"aggregator={method}", f"partition.alpha={alpha}", "seed=1"]
        write_run(tmp_path / "s" / str(number), words, rows([0.1, 0.2 + number / 10], **clients))
    (tmp_path / "s" / "multirun.yaml").touch()
    assert main([str(tmp_path / "s")]) == 0
    text = (tmp_path / "s" / "report" / "report.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert len(page.addresses) == 3 and all(a.startswith("data:image/svg+xml;base64,") for a in page.addresses)
    assert "script" not in page.tags and "link" not in page.tags and "b" not in page.tags
    assert not re.search(r"@import|url\(", text)
    assert "&lt;b&gt;" in text and "a single seed" in text
    names = {path.name for path in (tmp_path / "s" / "report").iterdir()}
    assert {f"{name}.{suffix}" for name in ("curves", "clients", "heat_map") for suffix in ("pdf", "png")} < names


def test_a_report_of_the_same_runs_has_the_same_bytes(tmp_path: Path) -> None:
    folders = two_seeds(tmp_path, [0.1, 0.2], [0.3, 0.4])
    for out in ("x", "y"):
        assert main([*map(str, folders), f"out={tmp_path / out}"]) == 0
    files = sorted(path.name for path in (tmp_path / "x").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "y").iterdir())
    differing = [f for f in files if (tmp_path / "x" / f).read_bytes() != (tmp_path / "y" / f).read_bytes()]
    assert [name for name in differing if name != "report.html"] == []
