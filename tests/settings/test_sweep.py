"""The folders of a sweep's runs: each run has its own, or the sweep is refused before its first run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fedlit.run import main
from fedlit.run_folder import FORMAT, FORMAT_FILE
from tests.settings.conftest import write_options
from tests.slow import some_slow

SUBDIR = "hydra.sweep.subdir="
TWO_KEYS = ["clients=2,3", "rounds=1,2"]

COLLIDING = {
    "one of two keys": [*TWO_KEYS, f"{SUBDIR}${{clients}}"],
    "a constant": ["clients=2,3", f"{SUBDIR}all"],
    "nothing": ["clients=2,3", f"{SUBDIR}''"],
    "the sweep's folder": ["clients=2,3", f"{SUBDIR}."],
    "an option's name": ["partition=dirichlet", "partition.alpha=1,2", f"{SUBDIR}${{hydra:runtime.choices.partition}}"],
    "one path written in two ways": ["name=a,./a", f"{SUBDIR}${{name}}"],
    "a path up": ["name=a,b/../a", f"{SUBDIR}runs/${{name}}"],
    "a slash at the end": ["name=a,a/", f"{SUBDIR}${{name}}"],
    "numbers that run into each other": ["clients=1,11", "rounds=11,1", f"{SUBDIR}${{clients}}${{rounds}}"],
    "without an excluded key": [
        *TWO_KEYS,
        f"{SUBDIR}${{hydra:job.override_dirname}}",
        "hydra.job.config.override_dirname.exclude_keys=[rounds]",
    ],
    "an absolute folder": ["clients=2,3", f"{SUBDIR}/tmp/fedlit-all"],
    "a folder of their own": [*TWO_KEYS, f"{SUBDIR}${{clients}}", "hydra.sweep.dir=mine"],
    "the working directory": [*TWO_KEYS, f"{SUBDIR}${{clients}}", "hydra.job.chdir=true"],
}

DISTINCT = {
    "the default": ["clients=2,3"],
    "both keys": [*TWO_KEYS, f"{SUBDIR}${{clients}}-${{rounds}}"],
    "overrides": [*TWO_KEYS, f"{SUBDIR}${{hydra:job.override_dirname}}"],
    "a number after a key": ["clients=2,3", f"{SUBDIR}${{clients}}/${{hydra:job.num}}"],
    "one run": ["clients=2", f"{SUBDIR}."],
    "names with a slash": ["name=a/b,a", f"{SUBDIR}${{name}}"],
}


@pytest.fixture
def command(use_small_conf, in_folder, experiment):
    return main


@pytest.mark.parametrize("case", some_slow(COLLIDING, ["one of two keys", "a path up"]))
def test_runs_with_one_folder_are_refused_before_the_first(command, experiment, in_folder, capsys, case):
    assert command(["-m", *COLLIDING[case]]) == 2
    message = capsys.readouterr().err
    assert message.startswith("hydra.sweep.subdir: ") and message.count("\n") == 1, message
    assert "write hydra.sweep.subdir='${hydra.job.num}'" in message.replace(", or write", "; write").replace("or ", "")
    assert experiment.calls == [] and list(in_folder.iterdir()) == []


@pytest.mark.parametrize("case", some_slow(DISTINCT, ["one run", "overrides"]))
def test_runs_with_folders_of_their_own_run(command, experiment, case):
    assert command(["-m", *DISTINCT[case]]) == 0
    folders = [folder for _, folder, _ in experiment.calls]
    assert len(set(folders)) == len(folders) == {"one run": 1, "both keys": 4, "overrides": 4}.get(case, 2)
    assert all((folder / FORMAT_FILE).exists() for folder in folders)


@pytest.mark.slow
def test_keys_that_the_users_configuration_sweeps_are_counted(command, experiment, in_folder, capsys):
    text = "defaults:\n  - config\n  - _self_\nhydra:\n  sweeper:\n    params:\n      rounds: 1,2\n"
    write_options(in_folder / "conf", {"mine.yaml": text})
    words = ["--config-dir", "conf", "--config-name", "mine", "-m", "clients=2", f"{SUBDIR}${{clients}}"]
    assert command(words) == 2
    assert "the runs `rounds=1` and `rounds=2` of this sweep" in capsys.readouterr().err
    assert experiment.calls == []


def test_the_refusal_names_what_differs_and_the_folder(command, capsys):
    assert command(["-m", *TWO_KEYS, "partition=iid", f"{SUBDIR}${{clients}}", "hydra.sweep.dir=mine"]) == 2
    assert capsys.readouterr().err == (
        "hydra.sweep.subdir: the runs `rounds=1` and `rounds=2` of this sweep would have the same folder, 2; name "
        "each swept key in it, or write hydra.sweep.subdir='${hydra.job.num}'.\n"
    )


def test_a_name_that_no_file_system_takes_is_refused(command, experiment, in_folder, capsys):
    words = [f"name={'a' * 300},b", f"{SUBDIR}${{name}}"]
    assert command(["-m", *words]) == 2
    message = capsys.readouterr().err
    assert "has 300 bytes, and a name may have 255" in message and message.count("\n") == 1
    assert experiment.calls == [] and list(in_folder.iterdir()) == []


@pytest.mark.parametrize("subdir", some_slow(["${hydra.job.num}", "${clients}", "../mine/${clients}"], ["${clients}"]))
def test_a_folder_that_holds_a_run_is_kept(command, experiment, in_folder, capsys, subdir):
    before = {"0": "0", "2": "2"}
    for name in before:
        write_options(in_folder / "mine" / name, {FORMAT_FILE: f"{FORMAT}\n", "metrics.jsonl": "{}", "run.log": name})
    assert command(["-m", "clients=2,3", f"{SUBDIR}{subdir}", "hydra.sweep.dir=mine"]) == 2
    assert "holds a run already; write hydra.sweep.dir=<another folder>" in capsys.readouterr().err
    assert {name: (in_folder / "mine" / name / "run.log").read_text() for name in before} == before
    assert experiment.calls == []


def test_a_run_that_a_sweeper_chose_later_does_not_write_over_another(command, experiment, monkeypatch, capsys):
    """A sweeper that chooses its runs one by one, such as Optuna's, has no list of them before."""
    from fedlit.settings.hydra_compat import Application

    swept = Application.swept
    monkeypatch.setattr(Application, "swept", lambda *words: replace(swept(*words), jobs=None))

    assert command(["-m", "clients=2,3", f"{SUBDIR}all", "hydra.sweep.dir=mine"]) == 2
    assert experiment.calls == []
    assert capsys.readouterr().err == (
        "hydra.sweep.subdir: two runs that the sweeper has chosen would have the same folder, all; write "
        "hydra.sweep.subdir='${hydra.job.num}'.\n"
    )


# --- a sweep whose runs completed no round


@pytest.mark.parametrize("chdir", some_slow(["false", "true"], ["true"]))
def test_a_sweep_without_a_round_does_not_block_the_corrected_one(command, experiment, in_folder, chdir):
    def then(config, folder):
        if config.rounds == 1:
            raise RuntimeError("boom")
        (folder / "metrics.jsonl").write_text("{}\n")
        return 0

    experiment.then = then
    words = ["-m", "hydra.sweep.dir=mine", f"hydra.job.chdir={chdir}"]
    assert command([*words, "clients=2,3,4", "rounds=1"]) == 1
    (in_folder / "mine" / "clients=3" / "notes.txt").write_text("of the user")
    assert command([*words, "clients=2", "rounds=2"]) == 0
    remaining = {str(path.relative_to(in_folder / "mine")) for path in (in_folder / "mine").glob("*/*")}
    assert {name for name in remaining if not name.startswith("run/")} == {"clients=3/notes.txt"}
    assert command([*words, "clients=3", "rounds=1"]) == 2  # another run lies there


def test_jobs_of_other_processes_report_how_they_ended(command, experiment, monkeypatch):
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    from fedlit.settings.hydra_compat import Ended
    from fedlit.sweeps.job_returns import job_return

    codes = [0, 2]
    monkeypatch.setattr(BasicLauncher, "launch", lambda *words, **more: [job_return(Ended(code)) for code in codes])
    assert command(["-m", "clients=2,3"]) == 1
    codes = [0, 0]
    assert command(["-m", "clients=2,3"]) == 0
