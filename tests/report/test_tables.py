"""table.md, table.csv and table.tex of runs whose means, deviations and tests are worked out by hand."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from fedlit.report.__main__ import main
from tests.report.saved_runs import ACCURACY, LOSS, write_run, write_sweep

FEDAVG, SCAFFOLD = ("aggregator=fedavg",), ("aggregator=scaffold",)


def table(folder: Path) -> list[dict[str, str]]:
    with open(folder / "report" / "table.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_means_deviations_and_the_paired_test_are_those_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Differences -0.1, -0.3, -0.2: mean -0.2, std 0.1, t = -0.2 / (0.1 / sqrt 3) = -3.4641 with 2 degrees of freedom.

    The t distribution of 2 degrees of freedom has P(|T| > t) = 1 - t / sqrt(2 + t^2).
    """
    folder = write_sweep(tmp_path / "s", {FEDAVG: [0.5, 0.4, 0.6], SCAFFOLD: [0.6, 0.7, 0.8]})
    assert main([str(folder)]) == 0
    fedavg, scaffold = table(folder)
    assert (fedavg["aggregator"], scaffold["aggregator"]) == ("fedavg", "scaffold")
    assert float(fedavg["mean"]) == pytest.approx(0.5) and float(fedavg["std"]) == pytest.approx(0.1)
    assert (fedavg["seeds"], fedavg["best"], scaffold["best"]) == ("3", "False", "True")
    t = 0.2 / (0.1 / math.sqrt(3))
    assert float(fedavg["p"]) == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert float(fedavg["difference"]) == pytest.approx(-0.2)
    assert scaffold["p"] == "" and scaffold["compared_with"] == ""
    shown = (folder / "report" / "table.md").read_text()
    assert "| scaffold | **0.70 ± 0.10 (3)** |" in shown and "| fedavg | 0.50 ± 0.10 (3) |" in shown
    assert shown in capsys.readouterr().out
    assert "$\\mathbf{0.70 \\pm 0.10}$ (3) \\\\" in (folder / "report" / "table.tex").read_text()


def test_holms_correction_is_that_by_hand(tmp_path: Path) -> None:
    """Three methods against a baseline: sorted p-values times 3, 2, 1, and never less than the one before."""
    base = [0.0, 0.0]
    differences = {"a": [0.010, 0.011], "b": [0.10, 0.11], "c": [0.1, 0.3]}
    values = {("aggregator=base",): base} | {(f"aggregator={name}",): pair for name, pair in differences.items()}
    folder = write_sweep(tmp_path / "s", values)
    assert main([str(folder), "baseline=aggregator=base"]) == 0

    def by_hand(pair: list[float]) -> float:  # one degree of freedom: P(|T| > t) = 1 - 2 / pi * arctan t
        t = (sum(pair) / 2) / (abs(pair[0] - pair[1]) / 2)
        return 1 - 2 / math.pi * math.atan(t)

    p = {name: by_hand(pair) for name, pair in differences.items()}
    assert p["a"] == pytest.approx(p["b"]) and p["c"] > p["a"]
    rows = {row["aggregator"]: row for row in table(folder)}
    for name, expected in {"a": 3 * p["a"], "b": 3 * p["a"], "c": max(3 * p["a"], p["c"])}.items():
        assert float(rows[name]["p"]) == pytest.approx(p[name])
        assert float(rows[name]["p_holm"]) == pytest.approx(expected)
        assert rows[name]["compared_with"] == "aggregator=base"


def test_lower_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", {FEDAVG: [0.5, 0.6], SCAFFOLD: [0.7, 0.8]}, LOSS)
    assert main([str(folder)]) == 0
    assert [row["best"] for row in table(folder)] == ["True", "False"]


def test_rows_are_compared_on_the_same_data_only(tmp_path: Path) -> None:
    values = {
        ("aggregator=fedavg", "partition.alpha=0.1"): [0.3, 0.4],
        ("aggregator=scaffold", "partition.alpha=0.1"): [0.5, 0.7],
        ("aggregator=fedavg", "partition.alpha=1"): [0.9, 0.95],
        ("aggregator=scaffold", "partition.alpha=1"): [0.8, 0.7],
    }
    folder = write_sweep(tmp_path / "s", values)
    assert main([str(folder)]) == 0
    rows = table(folder)
    assert [row["best"] for row in rows] == ["False", "True", "True", "False"]
    assert rows[0]["compared_with"] == "aggregator=scaffold, partition.alpha=0.1"
    assert rows[3]["compared_with"] == "aggregator=fedavg, partition.alpha=1"


def test_each_hole_has_a_line(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", {FEDAVG: [0.5, None, 0.7], SCAFFOLD: [0.1]})
    write_run(folder / "7", [*SCAFFOLD, "seed=2"], [{ACCURACY: 0.9}], rounds=3, failure="The loss is NaN.")
    write_run(folder / "8", [*SCAFFOLD, "seed=3"], [{ACCURACY: 0.9}], rounds=3, tail='{"round": 2, "glo')
    for run in folder.glob("[0-9]"):  # the same number of rounds in all
        config = run / ".hydra" / "config.yaml"
        config.write_text(
            config.read_text().replace("rounds: 3", "rounds: 1") if run.name == "7" else config.read_text()
        )
    assert main([str(folder)]) == 0
    shown = (folder / "report" / "table.md").read_text()
    assert "0.60 ± 0.14 (2)†" in shown
    assert "seed 2 is NaN or missing" in shown
    assert "aggregator=scaffold, rounds=1: seed 2 is left out, it failed: The loss is NaN." in shown
    assert "seed 3 is left out, it is not finished (round 1 of 3)." in shown
    assert "1 line cannot be read" in shown
    assert "a single seed" in shown


def test_a_run_that_goes_on_is_read_at_the_last_round_that_all_have_reached(tmp_path: Path) -> None:
    write_run(tmp_path / "a", ["seed=1"], [{ACCURACY: 0.1}, {ACCURACY: 0.2}, {ACCURACY: 0.3}], rounds=9)
    write_run(tmp_path / "b", ["seed=2"], [{ACCURACY: 0.4}, {ACCURACY: 0.6}], rounds=9)
    out = tmp_path / "report"
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), f"out={out}"]) == 0
    (row,) = table(tmp_path)
    assert float(row["mean"]) == pytest.approx(0.4)  # of 0.2 and 0.6
    assert "those of round 2" in (out / "table.md").read_text()


def test_equal_differences_and_equal_results_get_no_t_test(tmp_path: Path) -> None:
    values = {FEDAVG: [0.25, 0.5], SCAFFOLD: [0.5, 0.75], ("aggregator=same",): [0.5, 0.75]}
    folder = write_sweep(tmp_path / "s", values)
    assert main([str(folder)]) == 0
    assert [row["p"] for row in table(folder)] == ["", "", "1.0"]
    assert "differs by the same amount in all seeds" in (folder / "report" / "table.md").read_text()


def test_wilcoxon_of_three_seeds_is_a_quarter_at_least(tmp_path: Path) -> None:
    """Of the 8 patterns of signs, the two extreme ones: 2/8."""
    folder = write_sweep(tmp_path / "s", {FEDAVG: [0.5, 0.4, 0.6], SCAFFOLD: [0.6, 0.7, 0.8]})
    assert main([str(folder), "test=wilcoxon"]) == 0
    assert float(table(folder)[0]["p"]) == 0.25
    assert "no result can be significant at 0.05; that needs 6 seeds" in (folder / "report" / "table.md").read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "No folder is given"),
        (["{s}", "metric=x"], "there is no option metric; write metrics=..."),
        (
            ["{s}", "metrics=clients/used/acuracy"],
            "no run has this metric; write for example metrics=clients/used/accuracy",
        ),
        (["{s}", "baseline=aggregator=fedprox"], "aggregator has: fedavg, scaffold"),
        (["{s}", "baseline=lr=1"], "lr was not varied; varied were: aggregator"),
        (["{s}", "baseline=fedavg"], "this names no row"),
        (["{s}", "target=high"], "this is no number"),
        (["{s}", "round=0"], "a round is a whole number"),
        (["{s}", "test=z"], "the paired tests are t and wilcoxon"),
        (["{s}/nowhere"], "there is no such folder"),
    ],
)
def test_bad_words_are_one_sentence(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = write_sweep(tmp_path / "s", {FEDAVG: [0.5, 0.4], SCAFFOLD: [0.6, 0.7]})
    assert main([word.format(s=folder) for word in words]) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1
    assert not (folder / "report").exists()
