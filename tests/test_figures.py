"""`make figures`: a run begins, goes on or is skipped by what its folder holds, and the tables come from summaries."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf, open_dict

from benchmarks.figures import compression, compression_figure, personal, report, run, runs
from benchmarks.figures.bucketing import SortedAndMixed, mean_of_the_last
from benchmarks.figures.compression import rows
from benchmarks.figures.grouping import pair_agreement
from benchmarks.figures.papers import SETTINGS
from benchmarks.figures.setting import Case, Setting
from benchmarks.figures.value_of_federation import value_table
from fedlit.partitions import Labelled
from tests.markdown import CHECKOUT
from tests.slow import some_slow
from tests.small_runs import command, composed

QUICK = Setting(
    title="A small claim",
    claim="Somebody 2020, table 3.",
    notes="Smaller.",
    overrides=(
        "rounds=2",
        "clients=2",
        "local_updates=1",
        "model=logistic",
        "sampler._target_=benchmarks.figures.by_size.BySize",  # a class, for which fedlit adds ~sampler
        "+sampler.clients_per_round=2",
        "trainer=vectorized",
        "checkpoint.every=0",
    ),
    cases={"low": Case(("optimizer.lr=0.01",), "12.3"), "high": Case(("optimizer.lr=0.1",))},
    measures={
        "accuracy": "global/test/accuracy",
        "rounds": lambda folder: len(list(folder.glob("checkpoints/round_*[1-9]"))) / 100,
    },
    reached="{low[accuracy]:.1f} to {high[accuracy]:.1f}, {high[rounds]:.0f} states",
    seeds=(0, 1),
    paper="12 to 34",
    labels={"low": "a low rate"},
)
ALL = [(name, case) for name, setting in SETTINGS.items() for case in setting.cases]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that were run, in this process in place of one of their own."""
    commands: list[list[str]] = []

    def here(overrides: list[str]) -> int:
        commands.append(overrides)
        return command(*overrides)

    monkeypatch.setattr(runs, "run", here)
    return commands


def ended(folder: Path, words: list[str], accuracy: float) -> None:
    """A finished run."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump([f"++{word}" for word in words]))
    (folder / "summary.json").write_text(
        json.dumps({"rounds": 2, "last": {"global/test/accuracy": accuracy}, "seconds": 60.0})
    )
    runs.note_machine(folder, "a machine")


@pytest.mark.parametrize(("name", "case"), some_slow(ALL, [("fairness", "q0"), ("label_skew", "fedavg")]))
def test_a_command_composes(name: str, case: str, tmp_path: Path) -> None:
    setting = SETTINGS[name]
    assert runs.begin_or_resume(tmp_path / "run", setting.words(case, setting.seeds[0])) is not None


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_names_its_paper_and_its_result(name: str) -> None:
    setting = SETTINGS[name]
    values = dict.fromkeys(setting.measures, 0.5)
    cases = {case: {"0": {"seconds": 1.0, "machine": "m", "values": values}} for case in setting.cases}
    assert "{" not in report.reached(setting, cases)
    assert setting.claim and setting.notes and setting.labels.keys() <= setting.cases.keys()


@pytest.mark.slow
def test_finished_runs_are_skipped_and_a_changed_one_runs_again(tmp_path: Path, started: list[list[str]]) -> None:
    setting = replace(QUICK, seeds=(0,))
    assert run.run_all({"small": setting}, tmp_path) == []
    assert [words[-1] for words in started] == [f"hydra.run.dir={tmp_path}/small/{case}/seed_0" for case in QUICK.cases]
    assert run.run_all({"small": setting}, tmp_path) == [] and len(started) == 2

    changed = replace(setting, cases={**QUICK.cases, "high": Case(("optimizer.lr=0.5",))})
    before = report.collect({"small": setting}, tmp_path)["small"]
    assert run.run_all({"small": changed}, tmp_path) == [] and len(started) == 3
    after = report.collect({"small": changed}, tmp_path)["small"]
    assert after["low"] == before["low"] and after["high"] != before["high"]
    assert after["high"]["0"]["values"]["rounds"] == 0.02


def test_a_stopped_run_goes_on_and_one_of_another_configuration_is_removed(tmp_path: Path) -> None:
    folder, words = tmp_path / "run", QUICK.words("low", 0)
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(OmegaConf.to_yaml(composed(*words).config))
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words))
    assert runs.begin_or_resume(folder, words) == [f"resume={folder}"]
    older = composed(*words).config
    with open_dict(older):  # as if fedlit had got these keys since
        del older.stop, older.optimizer.nesterov
    (folder / ".hydra" / "config.yaml").write_text(OmegaConf.to_yaml(older))
    assert runs.begin_or_resume(folder, words) == [f"resume={folder}"]
    (folder / "summary.json").write_text(json.dumps({"rounds": 1}))
    assert runs.begin_or_resume(folder, words) == [f"resume={folder}"] and runs.summary(folder, words) is None
    other = QUICK.words("low", 1)
    assert runs.begin_or_resume(folder, other) == [*other, f"hydra.run.dir={folder}"] and not folder.exists()


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_figures(tmp_path: Path) -> None:
    setting = replace(QUICK, overrides=(*QUICK.overrides, "rounds=30"), seeds=(0,), cases={"low": QUICK.cases["low"]})
    folder = tmp_path / "killed" / "small" / "low" / "seed_0"
    command_line = [sys.executable, "-m", "fedlit.run", *setting.words("low", 0), f"hydra.run.dir={folder}"]
    process = subprocess.Popen(command_line, cwd=CHECKOUT)
    while not (folder / "checkpoints" / "round_0003").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert runs.begin_or_resume(folder, setting.words("low", 0)) == [f"resume={folder}"]
    for part in ("killed", "at_once"):
        assert run.run_all({"small": setting}, tmp_path / part) == []
        assert runs.begin_or_resume(tmp_path / part / "small" / "low" / "seed_0", setting.words("low", 0)) is None
    killed, at_once = (report.collect({"small": setting}, tmp_path / part) for part in ("killed", "at_once"))
    accuracies = [results["small"]["low"]["0"]["values"]["accuracy"] for results in (killed, at_once)]
    assert accuracies[0] == accuracies[1]
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 30


def test_a_run_that_fails_is_named_and_the_others_go_on(tmp_path: Path, started: list[list[str]]) -> None:
    wrong = replace(QUICK, seeds=(0,), overrides=(*QUICK.overrides, "data=npz", "data.path=missing.npz"))
    assert run.run_all({"small": wrong}, tmp_path) == [f"{tmp_path}/small/{case}/seed_0" for case in QUICK.cases]
    assert len(started) == 2 and report.collect({"small": wrong}, tmp_path) == {}


def test_the_tables_come_from_the_summaries(tmp_path: Path) -> None:
    settings = {"small": QUICK, "other": QUICK}
    ended(tmp_path / "other" / "low" / "seed_0", QUICK.words("high", 0), 0.9)  # the setting has changed
    for case, accuracies in {"low": (0.1, 0.2), "high": (0.3,)}.items():
        for seed, accuracy in enumerate(accuracies):
            ended(tmp_path / "small" / case / f"seed_{seed}", QUICK.words(case, seed), accuracy)
    readme = tmp_path / "README.md"
    readme.write_text(f"by hand\n{report.BEGIN}\nold\n{report.END}\nbelow\n")
    report.write(settings, report.collect(settings, tmp_path), tmp_path / "docs", readme)
    row = "| A small claim | 15.0 to 30.0, 0 states | 12 to 34 | 2 | 3 |"
    assert row in readme.read_text() and "old" not in readme.read_text() and readme.read_text().endswith("\nbelow\n")
    page = (tmp_path / "docs" / "figures.md").read_text()
    assert row in page
    assert "| A small claim | not measured yet | 12 to 34 | 0 |  |" in page
    assert "| a low rate | `optimizer.lr=0.01` | 15.0 ± 7.1 | 0.0 ± 0.0 | 12.3 | 0, 1 | 60 |" in page
    assert "| high | `optimizer.lr=0.1` | 30.0 | 0.0 |  | 0 | 60 |" in page
    assert page.count("Measured on: a machine") == 1

    shorter = {"small": QUICK, "other": replace(QUICK, cases={**QUICK.cases, "third": Case()}, paper="")}
    assert len(report.short(shorter, {}).splitlines()) == 3  # no row without a claim
    half = {"other": {"low": {"0": {"seconds": 1.0, "machine": "m", "values": {"accuracy": 0.1, "rounds": 0.2}}}}}
    assert report.reached(QUICK, half["other"]) == "not measured yet; 1 of 2 rows"

    report.write(settings, {}, tmp_path / "docs", readme)  # nothing was measured this time
    assert row in readme.read_text()
    changed = {"small": replace(QUICK, cases={**QUICK.cases, "high": Case(("optimizer.lr=1",))})}
    report.write(changed, {}, tmp_path / "docs", readme)
    assert "| A small claim | not measured yet; 1 of 2 rows | 12 to 34 | 2 | 2 |" in readme.read_text()


def test_the_pages_hold_what_was_measured() -> None:
    file = CHECKOUT / "docs" / "figures.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for name, text in (
        ("docs/figures.md", report.page(SETTINGS, results)),
        ("README.md", report.short(SETTINGS, results)),
    ):
        written = (CHECKOUT / name).read_text().partition(report.BEGIN)[2].partition(report.END)[0]
        assert written.strip() == text


def test_the_chosen_hyperparameters_are_the_best_of_the_grid() -> None:
    measured = json.loads((CHECKOUT / "docs" / "figures.json").read_text())["personal_tuning"]
    assert measured.keys() == personal.TUNING.cases.keys()
    for name, (fixed, _) in personal.METHODS.items():
        cases = [case for case in measured if case.rpartition("_")[0] == name]
        best = max(cases, key=lambda case: measured[case]["100"]["values"]["validation"])
        assert personal.TUNING.cases[best].overrides == (*fixed, *personal.CHOSEN[name])


def test_a_sweep_is_one_command_and_each_of_its_runs_a_row(tmp_path: Path, started: list[list[str]]) -> None:
    swept = replace(
        QUICK,
        seeds=(0,),
        sweeps=(("attack=none,backdoor", "reduction=mean"),),
        cases={name: Case((f"attack={name}", "reduction=mean")) for name in ("none", "backdoor")},
        measures={"accuracy": "global/test/accuracy", "success": lambda run: rows(run)[-1].get("attack/success")},
        decimals={"success": 3},
        compared={"difference": lambda case, means: f"{means[case]['accuracy'] - means['none']['accuracy']:+.1f}"},
        overrides=(
            "clients=5",
            "profile=false",
            "hydra.searchpath=[]",
            *(w for w in QUICK.overrides if w != "clients=2"),
        ),
        reached="{none[accuracy]:.1f}, {backdoor[success]:.3f}",
    )
    settings = {"swept": swept}
    assert run.run_all(settings, tmp_path) == []
    assert [words[0] for words in started] == ["-m"] and f"hydra.sweep.dir={tmp_path}/swept/seed_0" in started[0]
    measured = report.collect(settings, tmp_path)["swept"]
    values = {case: seeds["0"]["values"] for case, seeds in measured.items()}
    assert values["none"]["success"] is None and 0 <= values["backdoor"]["success"] <= 1
    lines = report.page(settings, {"swept": measured}).splitlines()
    cells = {line.split(" | ")[0]: line.split(" | ")[2:5] for line in lines if line.startswith(("| none", "| backd"))}
    accuracy = {case: 100 * value["accuracy"] for case, value in values.items()}
    assert cells["| none"] == [f"{accuracy['none']:.1f}", "", "+0.0"]
    difference = f"{accuracy['backdoor'] - accuracy['none']:+.1f}"
    assert cells["| backdoor"] == [f"{accuracy['backdoor']:.1f}", f"{values['backdoor']['success']:.3f}", difference]
    assert any("-m fedlit.run -m" in line and "attack=none,backdoor" in line for line in lines)
    time = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("summary.json")}
    assert run.run_all(settings, tmp_path) == []
    assert time == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("summary.json")} and len(time) == 2


def test_bad_clients_hold_samples_of_all_labels_and_the_others_one_or_two() -> None:
    labels = np.random.default_rng(0).integers(0, 10, 6000)
    shards = SortedAndMixed(mixed=5).train(Labelled(6000, labels), 25, np.random.default_rng(1))
    assert len(shards) == 25 and set(shards.sizes) == {300}
    assert [len(set(labels[shards[client]])) <= 2 for client in range(25)] == [True] * 20 + [False] * 5
    assert sorted(np.concatenate([shards[client] for client in range(20)])) == list(range(6000))
    assert all(len(set(labels[shards[client]])) == 10 for client in range(20, 25))
    assert len(set(np.concatenate([shards[client] for client in range(20, 25)]))) == 5 * 300


def test_the_last_five_evaluations_are_averaged(tmp_path: Path) -> None:
    lines = [{"round": r} | ({} if r % 2 else {"global/test/accuracy": r / 100}) for r in range(1, 21)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert mean_of_the_last(tmp_path) == pytest.approx(0.16)  # of rounds 12, 14, 16, 18 and 20


def test_the_picture_of_compression_has_every_case() -> None:
    assert compression_figure.NAMES.keys() == compression.CASES.keys()
    means = {case: {compression.LAST: 90.0, compression.SENT: 1.0 + n} for n, case in enumerate(compression.CASES)}
    assert compression_figure.picture(means).startswith(b"\x89PNG")


def test_pairs_of_two_groupings() -> None:
    planted = np.array([0, 1, 0, 1])
    assert pair_agreement(np.array([7, 3, 7, 3]), planted) == 1
    assert pair_agreement(np.zeros(4), planted) == pytest.approx(2 / 6)
    assert pair_agreement(np.arange(4), planted) == pytest.approx(4 / 6)


def test_the_value_of_federation_is_one_table(in_folder: Path) -> None:
    small = ("rounds=1", "clients=2", "local_updates=1", "threads=1", "logger=none", "progress=none")
    for name in ("centralized", "local"):
        words = ("experiment=value_of_federation", f"aggregator={name}", "partition.alpha=0.5", *small)
        assert command(*words, f"hydra.run.dir={name}") == 0
    head, _, row = value_table([Path("centralized"), Path("local")]).splitlines()
    assert head == "| alpha | local | centralized |"
    values = [json.loads(Path(n, "summary.json").read_text())["last"] for n in ("local", "centralized")]
    shares = [f"{100 * last['clients/used/accuracy/weighted']:.1f}" for last in values]
    assert row == f"| 0.5 | {shares[0]} | {shares[1]} |"
