"""table.md, table.csv and table.tex of runs whose means, deviations and tests are worked out by hand."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fedlit.report.__main__ import main
from fedlit.report.columns import columns
from fedlit.report.grid import read_grid
from fedlit.report.options import parse
from fedlit.report.report import make_report
from fedlit.saved_run import SavedRun
from fedlit.sweeps.sweep_record import RecordedJob, SweepRecord
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


def test_the_headlines_of_parties_come_before_other_metrics(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    auc, r2 = "global/test/auc", "global/test/r2"
    logistic = {auc: 0.9, "global/test/accuracy": 0.8, "comm/bytes": 5}
    write_run(folder / "1", ["protocol=logistic"], [logistic])
    assert metrics(folder) == [auc, "global/test/accuracy"]
    write_run(folder / "2", ["protocol=linear"], [{r2: 0.5, "global/test/mse": 2.0, "comm/bytes": 5}])
    write_run(folder / "3", [], [{ACCURACY: 0.7, LOSS: 1.0}])
    assert metrics(folder)[:3] == [ACCURACY, auc, r2]
    assert sorted(metrics(folder)[3:]) == ["global/test/accuracy", LOSS, "global/test/mse"]


def metrics(folder: Path) -> list[str]:
    return [column.metric for column in columns([SavedRun(run) for run in sorted(folder.iterdir())])]


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
    folder = tmp_path / "s"
    good, bad = [{ACCURACY: 0.4}, {ACCURACY: 0.5}], [{ACCURACY: 0.4}, {ACCURACY: None}]
    write_run(folder / "0", [*FEDAVG, "seed=1"], good)
    write_run(folder / "1", [*FEDAVG, "seed=2"], bad)
    write_run(folder / "2", [*FEDAVG, "seed=3"], [{ACCURACY: 0.4}, {ACCURACY: 0.7}])
    write_run(folder / "3", [*SCAFFOLD, "seed=1"], [{ACCURACY: 0.1}, {ACCURACY: 0.2}])
    write_run(folder / "4", [*SCAFFOLD, "seed=2"], good[:1], rounds=2, failure="The loss is NaN.")
    write_run(folder / "5", [*SCAFFOLD, "seed=3"], good[:1], rounds=2, tail='{"round": 2, "glo')
    (folder / "multirun.yaml").touch()
    assert main([str(folder)]) == 0
    shown = (folder / "report" / "table.md").read_text()
    assert "| fedavg | 0.60 ± 0.14 (2)† |" in shown  # of 0.5 and 0.7
    assert "| scaffold | 0.20 (1) |" in shown  # not bold: fedavg is better where it did not diverge
    for sentence in (
        "aggregator=fedavg: seed 2 has no finite value of clients/used/accuracy/weighted; the mean leaves",
        "aggregator=scaffold: seed 2 is left out, it failed: The loss is NaN.",
        "aggregator=scaffold: seed 3 is left out, it is not finished (round 1 of 2).",
        "1 line cannot be read",
        "aggregator=scaffold: a single seed",
        "cannot be tested, they have fewer than two seeds in common",
    ):
        assert shown.count(sentence) == 1, sentence


def test_a_run_that_stopped_in_a_round_without_an_evaluation_has_its_last_value(tmp_path: Path) -> None:
    folder, rest = tmp_path / "s", {"fit/loss": 1.0}
    write_run(folder / "0", [*FEDAVG, "seed=1"], [{ACCURACY: 0.4}, {ACCURACY: 0.5}, rest, {ACCURACY: 0.6}])
    stopped = write_run(folder / "1", [*FEDAVG, "seed=2"], [{ACCURACY: 0.4}, {ACCURACY: 0.8}, rest], rounds=4)
    (stopped / "summary.json").write_text(json.dumps({"rounds": 3, "stopped": "the budget is spent"}))
    write_run(folder / "2", [*SCAFFOLD, "seed=1"], [rest])
    write_run(folder / "3", [*SCAFFOLD, "seed=2"], [{ACCURACY: None}])
    (folder / "multirun.yaml").touch()
    assert main([str(folder)]) == 0
    shown = (folder / "report" / "table.md").read_text()
    assert "| fedavg | **0.70 ± 0.14 (2)** |" in shown and "| scaffold | -† |" in shown
    for sentence in (
        f"aggregator=fedavg: seed 2 ends in a round that has not measured {ACCURACY}; the value is of round 2.",
        f"aggregator=scaffold: seed 1 has not measured {ACCURACY}; the mean leaves this seed out",
        f"aggregator=scaffold: seed 2 has no finite value of {ACCURACY}; the mean leaves this seed out",
    ):
        assert shown.count(sentence) == 1, sentence
    fedavg, scaffold = table(folder)
    assert (fedavg["seeds_not_measured"], scaffold["seeds_not_measured"], scaffold["seeds_not_finite"]) == (
        "0",
        "1",
        "1",
    )


def test_seeds_cells_and_planned_jobs_that_are_missing_have_a_line(tmp_path: Path) -> None:
    values = {
        ("aggregator=a", "partition.alpha=0.1"): [0.3, 0.4],
        ("aggregator=b", "partition.alpha=0.1"): [0.5],
        ("aggregator=a", "partition.alpha=1"): [0.9, 0.95],
    }
    folder = write_sweep(tmp_path / "s", values)
    notes = make_report(parse([str(folder)])).notes
    assert "aggregator=b, partition.alpha=0.1: no run with seed 2; the mean is over fewer seeds." in notes
    assert "aggregator=b, partition.alpha=1: no run has these values." in notes
    jobs = [RecordedJob([], str(number)) for number in range(7)]
    swept: dict[str, list[str]] = {"aggregator": [], "partition.alpha": [], "seed": []}
    SweepRecord([], "config", None, str(tmp_path), swept, jobs).write(folder)
    notes = make_report(parse([str(folder)])).notes
    assert [note for note in notes if "not begun" in note] == [
        f"{folder}/{number}: planned in the sweep, and not begun." for number in (5, 6)
    ]


def test_keys_are_those_that_were_written_or_else_those_that_differ(tmp_path: Path) -> None:
    """A written group stands for all of its values; what no command line wrote is a dotted key."""
    words = [["aggregator=a", "seed=1"], ["aggregator=b", "seed=1"], ["aggregator=b", "clients=20", "seed=1"]]
    folders = [write_run(tmp_path / str(number), of_run, [{ACCURACY: 0.5}]) for number, of_run in enumerate(words)]
    assert read_grid(folders).keys == ["aggregator", "clients"]
    assert [group.values for group in read_grid(folders).groups] == [("a", "10"), ("b", "10"), ("b", "20")]
    config = folders[1] / ".hydra" / "config.yaml"
    config.write_text(config.read_text() + "batch_size: 7\n")
    assert read_grid(folders).notes[0] == "Rows also differ in settings that are no columns: batch_size."
    write_run(tmp_path / "3", words[1], [{ACCURACY: 0.5}])
    assert read_grid([*folders, tmp_path / "3"]).keys == ["aggregator", "clients", "batch_size"]


def test_the_same_run_twice_counts_once(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", ["seed=1"], [{ACCURACY: 0.5}])
    second = write_run(tmp_path / "b", ["seed=1"], [{ACCURACY: 0.9}])
    report = make_report(parse([str(first), str(first), str(second)]))
    assert report.cells[0, ACCURACY].mean == 0.5
    assert [note for note in report.notes if "the same settings and seed" in note] != []


def test_the_declared_direction_comes_before_the_name(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", {FEDAVG: [0.5, 0.6], SCAFFOLD: [0.7, 0.8]}, "global/test/my_loss")
    for config in folder.glob("*/.hydra/config.yaml"):
        config.write_text(config.read_text().replace("higher_is_better: []", "higher_is_better: [my_loss]"))
    assert main([str(folder)]) == 0
    assert [row["best"] for row in table(folder)] == ["False", "True"]


def test_a_run_that_goes_on_is_read_at_the_last_round_that_all_have_reached(tmp_path: Path) -> None:
    write_run(tmp_path / "a", ["seed=1"], [{ACCURACY: 0.1}, {ACCURACY: 0.2}, {ACCURACY: 0.3}], rounds=9)
    write_run(tmp_path / "b", ["seed=2"], [{ACCURACY: 0.4}, {ACCURACY: 0.6}], rounds=9)
    out = tmp_path / "report"
    assert main([str(tmp_path / "a"), str(tmp_path / "b"), f"out={out}"]) == 0
    (row,) = table(tmp_path)
    assert float(row["mean"]) == pytest.approx(0.4)  # of 0.2 and 0.6
    assert "those of round 2, the last one that all have evaluated" in (out / "table.md").read_text()


def test_unevaluated_rounds_and_failed_runs_do_not_choose_the_round(tmp_path: Path) -> None:
    write_run(tmp_path / "a", ["seed=1"], [{ACCURACY: 0.1}, {ACCURACY: 0.2}, {"train/loss": 1.0}], rounds=9)
    write_run(tmp_path / "b", ["seed=2"], [{ACCURACY: 0.4}], rounds=9, failure="The disk is full.")
    report = make_report(parse([str(tmp_path / "a"), str(tmp_path / "b")]))
    assert (report.grid.round, report.cells[0, ACCURACY].mean) == (2, 0.2)


def test_a_run_whose_configuration_is_damaged_is_a_note(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", {FEDAVG: [0.5, 0.4], SCAFFOLD: [0.6, 0.7]})
    (folder / "3" / ".hydra" / "config.yaml").write_text("rounds: [")
    report = make_report(parse([str(folder)]))
    assert "3: the configuration of this run cannot be read" in report.notes[0]
    assert len(report.grid.groups[1].runs) == 1


def test_a_metric_without_a_direction_has_no_best_row_no_test_and_no_target(tmp_path: Path) -> None:
    metric = "global/test/temperature"
    folder = write_sweep(tmp_path / "s", {FEDAVG: [0.5, 0.4], SCAFFOLD: [0.6, 0.7]}, metric)
    report = make_report(parse([str(folder)]))
    assert (report.tests, report.targets, [report.cells[row, metric].best for row in (0, 1)]) == ([], [], [False] * 2)


def test_equal_differences_and_equal_results_get_no_t_test(tmp_path: Path) -> None:
    values = {FEDAVG: [0.25, 0.5], SCAFFOLD: [0.5, 0.75], ("aggregator=same",): [0.5, 0.75]}
    folder = write_sweep(tmp_path / "s", values)
    assert main([str(folder)]) == 0
    assert [row["p"] for row in table(folder)] == ["", "", "1.0"]
    assert [row["best"] for row in table(folder)] == ["False", "True", "True"]
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
        (["{s}", "baseline=fedprox"], "no row has this value; varied were: aggregator (fedavg, scaffold)."),
        (["{s}", "metrics=accuracy"], "write for example metrics=clients/used/accuracy/weighted."),
        (["{s}", "target=high"], "this is no number"),
        (["{s}", "round=0"], "a round is a whole number"),
        (["{s}", "test=z"], "the paired tests are t and wilcoxon"),
        (["{s}", "round=9"], "no run can be used; the first one has not reached round 9 (last round: 1)."),
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


def test_if_all_runs_failed_the_first_reason_is_the_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_run(tmp_path / "a", ["seed=1"], [{ACCURACY: 0.4}], rounds=9, failure="The disk is full.")
    assert main([str(folder)]) == 2
    assert capsys.readouterr().err == f"{folder}: no run can be used; the first one failed: The disk is full.\n"


def test_a_report_needs_no_torch() -> None:
    """Importing it takes seconds."""
    code = "import sys, fedlit.report.report, fedlit.report.write_report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_latex_table_has_escaped_names_and_a_cell_for_each_column(tmp_path: Path) -> None:
    values = {("aggregator=my_a&b", "partition.alpha=0.1"): [0.3, 0.4], ("aggregator=c", "partition.alpha=0.1"): [0.1]}
    folder = write_sweep(tmp_path / "s", values, LOSS)
    assert main([str(folder)]) == 0
    lines = (folder / "report" / "table.tex").read_text().splitlines()
    assert lines[1:4:2] == [r"\begin{tabular}{lr}", r"aggregator & global/test/loss $\downarrow$ \\"]
    assert lines[5] == r"my\_a\&b & $0.350 \pm 0.071$ (2) \\"
    assert lines[6] == r"c & $\mathbf{0.100}$ (1) \\"
    assert [lines[place] for place in (2, 4, 7, 8)] == [r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"]


def test_runs_that_differ_in_their_seed_alone_are_a_row(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "s", {(): [0.3, 0.4]})
    assert main([str(folder)]) == 0
    assert "| all runs | 0.350 ± 0.071 (2) |" in (folder / "report" / "table.md").read_text()


def test_a_named_baseline_is_the_row_of_the_same_other_values(tmp_path: Path) -> None:
    """Learning rates are of the method, so each row has the baseline of its own rate; alpha is of the problem."""
    values = {
        (f"aggregator={name}", f"partition.alpha={alpha}", f"aggregator.lr={rate}"): [0.3, 0.4]
        for name in ("a", "b")
        for alpha in ("0.1", "1")
        for rate in ("0.5", "2")
    }
    folder = write_sweep(tmp_path / "s", values)

    def pairs(words: str) -> set[tuple[str, str]]:
        report = make_report(parse([str(folder), words]))
        name = [" ".join(group.values) for group in report.grid.groups]
        return {(name[test.row], name[test.against]) for test in report.shown_tests}

    same_rate = {(f"b {alpha} {rate}", f"a {alpha} {rate}") for alpha in ("0.1", "1") for rate in ("0.5", "2")}
    assert pairs("baseline=aggregator=a") == same_rate
    of_alpha = {(f"{name} 0.1 {rate}", f"{name} 1 {rate}") for name in ("a", "b") for rate in ("0.5", "2")}
    assert pairs("baseline=partition.alpha=1") == of_alpha
    assert ("b 0.1 2", "a 0.1 0.5") in pairs("baseline=aggregator=a,aggregator.lr=0.5")


def test_rows_on_other_data_are_not_compared_where_a_preset_has_set_the_data(tmp_path: Path) -> None:
    """`experiment` is the only swept key, and it is none of those that say what is learnt."""
    folder = tmp_path / "s"
    for place, (preset, clients, rate, values) in enumerate(
        [("a", 10, 0.1, (0.3, 0.4)), ("b", 10, 0.2, (0.5, 0.7)), ("c", 20, 0.1, (0.8, 0.9)), ("d", 20, 0.2, (0.6, 0.7))]
    ):
        for seed, value in enumerate(values, 1):
            settings = [f"experiment={preset}", f"clients={clients}", f"aggregator.lr={rate}", f"seed={seed}"]
            run = write_run(folder / f"{place}{seed}", settings, [{ACCURACY: value}])
            (run / ".hydra" / "overrides.yaml").write_text(f"- experiment={preset}\n- seed={seed}\n")
    (folder / "multirun.yaml").touch()
    SweepRecord([], "config", None, str(tmp_path), {"experiment": ["a", "b", "c", "d"]}, []).write(folder)
    assert main([str(folder)]) == 0
    rows = table(folder)
    assert [row["best"] for row in rows] == ["False", "True", "True", "False"]
    compared = [row["compared_with"].removeprefix("experiment=") for row in rows]
    assert compared == ["b", "", "", "c"]
    report = make_report(parse([str(folder), "baseline=experiment=a"]))
    assert {(test.row, test.against) for test in report.shown_tests} == {(1, 0)}


def test_settings_that_change_no_number_do_not_split_the_seeds_of_a_row(tmp_path: Path) -> None:
    others = ("profile=1", "targets.loss=2", "debug.how=3", "data.root=4", "data.download=5", "trainer.devices=6")
    seeds = [[f"seed={seed}", *words] for seed, words in enumerate([(), *((word,) for word in others)], 1)]
    grid = read_grid([write_run(tmp_path / str(place), words, [{ACCURACY: 0.5}]) for place, words in enumerate(seeds)])
    assert grid.keys == [] and [len(group.runs) for group in grid.groups] == [7] and grid.notes == []


AWKWARD = ("aggregator=[64,32]", "aggregator=*a", r"aggregator=a&b_c%d#e{f}~g^h$i\j<k>l|m")


@pytest.fixture
def awkward_table(tmp_path: Path) -> str:
    """The LaTeX table of rows whose names have all special characters, with a diverged and a missing value."""
    texts = {(word,): [0.3 + place / 10, 0.4] for place, word in enumerate(AWKWARD)}
    folder = write_sweep(tmp_path / "s", {("aggregator=plain",): [None, None], **texts})
    assert main([str(folder)]) == 0
    return (folder / "report" / "table.tex").read_text()


def test_a_row_of_the_latex_table_cannot_be_an_argument_of_the_command_before_it(awkward_table: str) -> None:
    rows = awkward_table.partition("\\midrule\n")[2].partition("\\bottomrule")[0].splitlines()
    assert len(rows) == 4
    for row in rows:
        assert row[0] not in "[*" and row.endswith(r" \\")
        assert len(re.findall(r"(?<!\\)&", row)) == 1  # between two columns
        plain = re.sub(r"\\[{}]", "", row)
        assert plain.count("{") == plain.count("}")
    assert rows[3].startswith(r"a\&b\_c\%d\#e\{f\}\textasciitilde{}g\textasciicircum{}h\$i\textbackslash{}j")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex with booktabs")
def test_latex_sets_the_table(awkward_table: str, tmp_path: Path) -> None:
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "paper.tex").write_text(f"{head}{awkward_table}\\end{{document}}\n")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"], cwd=tmp_path, capture_output=True
    )
    log = (tmp_path / "paper.log").read_text(errors="replace")
    assert done.returncode == 0 and (tmp_path / "paper.pdf").exists(), log
    assert "Missing character" not in log and "Overfull" not in log
