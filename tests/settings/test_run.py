"""The command from overrides to the experiment: folders, what the experiment is given, exit codes, logs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from fedlit.errors import InputError
from fedlit.run import main
from fedlit.run_folder import FORMAT, format_of, hold
from fedlit.settings.saved import saved_files
from tests.settings.conftest import write_options
from tests.slow import some_slow


@pytest.fixture
def command(use_small_conf, in_folder, experiment):
    """The command in an empty folder, with a stand-in for the experiment."""
    return main


def completes_a_round(config, folder):
    """In place of a run: a line of metrics."""
    (folder / "metrics.jsonl").write_text("{}\n")
    return 0


def test_the_experiment_gets_configuration_folder_and_overrides(command, experiment, in_folder):
    assert command(["clients=3", "partition=dirichlet", "name='a b'"]) == 0
    config, folder, overrides = experiment.calls.pop()
    assert (config.clients, config.name, config.partition.alpha) == (3, "a b", 0.5)
    assert "hydra" not in config
    assert folder == in_folder / "outputs" / "now"
    assert overrides == ["clients=3", "partition=dirichlet", "name='a b'"]
    assert yaml.safe_load((folder / ".hydra" / "config.yaml").read_text())["clients"] == 3
    assert (folder / "run.log").is_file()
    assert Path.cwd() == in_folder


def test_a_verbose_run_runs(command, experiment):
    assert command(["clients=3", "hydra.verbose=true"]) == 0
    assert experiment.calls.pop()[0].clients == 3


def test_each_run_folder_is_marked_with_its_format(command, experiment):
    assert [command([]), command(["hydra.run.dir=mine"]), command(["-m", "clients=2,3"])] == [0, 0, 0]
    assert [format_of(folder) for _, folder, _ in experiment.calls] == [FORMAT] * 4


def test_two_runs_of_the_same_second_have_two_folders(command, experiment, in_folder):
    assert [command([]), command([])] == [0, 0]
    assert [folder.name for _, folder, _ in experiment.calls] == ["now", "now-2"]


def test_the_folder_is_locked_while_the_run_lasts(command, experiment, in_folder):
    def then(config, folder):
        with pytest.raises((InputError, RuntimeError)):  # filelock names a second lock of one thread a deadlock
            hold(folder)
        return 0

    experiment.then = then
    assert command([]) == 0


def test_a_given_folder_is_used_once(command, experiment, capsys):
    assert command(["hydra.run.dir=some place/a=b"]) == 2  # not of Hydra's grammar
    experiment.then = completes_a_round
    assert command(["hydra.run.dir='some place/a=b'"]) == 0
    assert experiment.calls[-1][1] == Path("some place/a=b").absolute()
    capsys.readouterr()
    assert command(["hydra.run.dir='some place/a=b'"]) == 2
    assert "this folder holds a run already; write 'resume=\"some place/a=b\"' to" in capsys.readouterr().err
    assert len(experiment.calls) == 1


ENDS = {
    "refused": (InputError("no."), 2),
    "a bug": (RuntimeError("boom"), 1),
    "interrupted": (KeyboardInterrupt(), 130),
    "no fedlit class": (None, 2),
}


@pytest.mark.parametrize("case", some_slow(ENDS, ["a bug"]))
@pytest.mark.parametrize("given", some_slow(["made by the run", "with files of the user"], ["with files of the user"]))
def test_a_run_that_ends_before_its_first_round_does_not_block_its_folder(command, experiment, in_folder, case, given):
    error, code = ENDS[case]
    files = {"notes.txt": "of the user"} if given == "with files of the user" else {}
    write_options(in_folder / "run", files)

    def then(config, folder):
        if error is not None and config.clients == 5:
            raise error
        return 0

    experiment.then = then
    wrong = [] if error is not None else ["model._target_=my_absent.Net"]
    assert command(["clients=5", "hydra.run.dir=run", *wrong]) == code
    assert command(["clients=6", "hydra.run.dir=run"]) == 0
    assert experiment.calls[-1][0].clients == 6
    assert yaml.safe_load((in_folder / "run" / ".hydra" / "config.yaml").read_text())["clients"] == 6
    assert "boom" not in (in_folder / "run" / "run.log").read_text()
    assert {name: (in_folder / "run" / name).read_text() for name in files} == files


def test_a_refused_override_leaves_no_file(command, experiment, in_folder, capsys):
    assert command(["clients=ten"]) == 2
    out = capsys.readouterr()
    assert out.err.startswith("clients=ten: ") and out.err.count("\n") == 1 and out.out == ""
    assert list(in_folder.iterdir()) == []
    assert experiment.calls == []


def test_a_refusal_by_the_experiment_is_one_sentence_on_the_terminal_and_in_the_log(command, experiment, capsys):
    def then(config, folder):
        raise InputError("more clients than samples.")

    experiment.then = then
    assert command([]) == 2
    assert capsys.readouterr().err == "more clients than samples.\n"
    assert re.fullmatch(r"\[.*\]\[ERROR\] - more clients than samples\.\n", Path("outputs/now/run.log").read_text())


def test_a_bug_keeps_its_trace(command, experiment, capsys):
    def then(config, folder):
        try:
            raise KeyError("first")
        except KeyError as error:
            raise RuntimeError("boom") from error

    experiment.then = then
    assert command([]) == 1
    shown = capsys.readouterr().err
    for expected in ("KeyError: 'first'", "The above exception was the direct cause", "RuntimeError: boom", "in then"):
        assert expected in shown
        assert expected in Path("outputs/now/run.log").read_text()
    assert "hydra/" not in shown  # its frames are not the person's


@pytest.mark.parametrize("how", some_slow(["returned", "raised"], ["raised"]))
def test_ctrl_c_ends_the_run_and_a_whole_sweep(command, experiment, how):
    def then(config, folder):
        if how == "raised":
            raise KeyboardInterrupt
        return 130

    experiment.then = then
    assert command([]) == 130
    assert command(["-m", "clients=1,2,3"]) == 130
    assert len(experiment.calls) == 2


# --- sweeps


def test_a_sweep_runs_every_combination(command, experiment, in_folder, capsys):
    assert command(["clients=2,3", "-m", "partition=dirichlet", "partition.alpha=range(1,3)"]) == 0
    assert [(config.clients, config.partition.alpha) for config, _, _ in experiment.calls] == [
        (2, 1),
        (2, 2),
        (3, 1),
        (3, 2),
    ]
    names = [f"clients={clients},alpha={alpha}" for clients in (2, 3) for alpha in (1, 2)]
    assert [folder for _, folder, _ in experiment.calls] == [in_folder / "multirun" / "now" / name for name in names]
    assert experiment.calls[1][2] == ["clients=2", "partition=dirichlet", "partition.alpha=2"]


def test_a_refused_job_of_a_sweep_prints_its_sentence_and_the_others_run(command, experiment, capsys):
    def then(config, folder):
        if config.clients == 2:
            raise InputError("not with two.")
        return 0

    experiment.then = then
    assert command(["--multirun", "clients=1,2,3"]) == 1
    assert len(experiment.calls) == 3
    assert "multirun/now/clients=2: not with two." in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_whose_runs_are_all_refused_gives_2(command, experiment):
    def then(config, folder):
        raise InputError("no.")

    experiment.then = then
    assert command(["--multirun", "clients=1,2"]) == 2
    assert len(experiment.calls) == 2


def test_a_bug_in_a_job_of_a_sweep_keeps_its_trace_and_gives_1(command, experiment, capsys):
    def then(config, folder):
        if config.clients == 1:
            raise RuntimeError("boom")
        raise InputError("no.")

    experiment.then = then
    assert command(["--multirun", "clients=1,2"]) == 1
    shown = capsys.readouterr().err
    assert shown.index("RuntimeError: boom") < shown.index("no.")


def test_a_sweep_that_is_wrong_in_one_choice_does_not_start(command, experiment, in_folder):
    assert command(["--multirun", "clients=1,ten"]) == 2
    assert experiment.calls == [] and list(in_folder.iterdir()) == []


def test_interpolated_values_of_a_sweep_are_checked_in_each_job(command, experiment, capsys):
    assert command(["--multirun", "rounds=1,2", "participation=${eval_half:${rounds}}"]) == 2
    capsys.readouterr()
    assert command(["--multirun", "rounds=1,2", "participation=${rounds}"]) == 1
    assert [config.rounds for config, _, _ in experiment.calls] == [1]
    assert "participation=2: " in capsys.readouterr().err


# --- the user's class


def test_a_class_in_the_current_folder_is_importable_and_checked(command, experiment, in_folder, capsys):
    (in_folder / "my_nets.py").write_text("class Net:\n    def __init__(self, lr): pass\n")
    assert command(["model._target_=my_nets.Net", "model.lr=0.2"]) == 0
    assert experiment.calls[-1][0].model == {"_target_": "my_nets.Net", "lr": 0.2}
    assert command(["model._target_=my_nets.Net", "model.rl=0.2"]) == 2
    assert "did you mean model.lr?" in capsys.readouterr().err
    assert command(["model._target_=my_net.Net"]) == 2
    assert "did you mean my_nets.Net?" in capsys.readouterr().err
    (in_folder / "my_broken.py").write_text("1 / 0\n")
    assert command(["model._target_=my_broken.Net"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err


# --- resume


@pytest.fixture
def finished(command, experiment):
    """A run of twelve rounds that has ended."""

    def then(config, folder):
        write_options(folder / "checkpoints" / "round_0012", saved_files(config, experiment.calls[-1][2]))
        return 0

    experiment.then = then
    assert command(["clients=5", "hydra.run.dir=first run"]) == 0
    experiment.calls.clear()
    return Path("first run")


def test_a_resumed_run_keeps_its_folder_and_its_record(command, experiment, finished, in_folder):
    record = (finished / ".hydra" / "overrides.yaml").read_text()
    log = (finished / "run.log").read_text()
    assert command([f"resume='{finished}'", "rounds=40"]) == 0
    config, folder, overrides = experiment.calls.pop()
    assert folder == in_folder / finished
    assert (config.clients, config.rounds, config.resume) == (5, 40, str(in_folder / finished))
    assert overrides == ["clients=5", "rounds=40"]
    assert (finished / ".hydra" / "overrides.yaml").read_text() == record
    assert (finished / "run.log").read_text().startswith(log)
    assert not Path("outputs").exists()


def test_a_run_killed_before_its_first_checkpoint_begins_again(command, experiment, in_folder, capsys):
    assert command(["clients=5", "hydra.run.dir=killed"]) == 0
    assert command(["resume=killed", "rounds=40"]) == 0
    config, folder, overrides = experiment.calls.pop()
    assert folder == in_folder / "killed"
    assert (config.clients, config.rounds, overrides) == (5, 40, ["clients=5", "rounds=40"])
    assert capsys.readouterr().err == "Nothing was saved before this run was stopped: it begins again.\n"


RESUMING = {
    "a primary configuration": ("resume: first run", []),
    "a sweep's parameters": ("hydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      resume: first run,other", []),
    "a primary configuration that is swept": ("resume: first run", ["-m", "rounds=3,4"]),
}


@pytest.mark.parametrize("where", some_slow(RESUMING, ["a primary configuration"]))
def test_a_configuration_does_not_resume(command, experiment, finished, in_folder, capsys, where):
    text, words = RESUMING[where]
    write_options(in_folder / "own", {"mine.yaml": f"defaults:\n  - config\n  - _self_\n{text}\n"})
    assert command(["--config-dir", "own", "--config-name", "mine", *words]) == 2
    assert "stands in a configuration; a run is resumed by the command line alone" in capsys.readouterr().err
    assert experiment.calls == []


@pytest.mark.slow
def test_sys_exit_in_a_run_is_a_bug_with_its_trace(command, experiment, capsys):
    def then(config, folder):
        sys.exit(0)

    experiment.then = then
    assert command(["-m", "clients=2,3"]) == 1
    assert capsys.readouterr().err.count("in then") == 2


def test_a_wrong_resume_is_refused(command, experiment, finished, capsys):
    for overrides, expected in {
        (f"resume='{finished}'", "clients=6"): "clients: 5 -> 6",
        (f"resume='{finished}'", "--multirun"): "this is no sweep",
        ("resume=nowhere",): "there is no such folder",
    }.items():
        assert command(list(overrides)) == 2
        assert expected in capsys.readouterr().err
    assert experiment.calls == [] and not Path("nowhere").exists()


# --- flags


def test_cfg_info_and_help_run_nothing(command, experiment, in_folder, capsys):
    assert command(["--cfg", "job", "model._target_=mine.Net", "model.lr=0.2"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["model"] == {"_target_": "mine.Net", "lr": 0.2}
    assert command(["clients=3", "--cfg", "job", "--resolve", "-p", "clients"]) == 0
    assert capsys.readouterr().out == "3\n"
    assert command(["--info", "config", "clients=3"]) == 0
    assert command(["--help"]) == 0
    assert experiment.calls == [] and list(in_folder.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["--config-path", "x"], "--config-dir to add your own"),
        (["--experimental-rerun", "x"], "write resume="),
        (["--resolve"], "--resolve goes with --cfg"),
        (["--cfg", "job", "-m"], "do not go together"),
        (["--cfg", "job", "clint=3"], "did you mean clients=3?"),
        (["--config-dir", "nowhere"], "there is no folder"),
    ],
)
def test_wrong_flags_are_refused(command, overrides, expected, capsys):
    assert command(overrides) == 2
    assert expected in capsys.readouterr().err


def test_config_dir_adds_options(command, experiment, in_folder):
    write_options(in_folder / "own", {"model/net.yaml": "_target_: fedlit.any.Net\nwidth: 3\n"})
    assert command(["--config-dir", "own", "model=net", "model.width=5"]) == 0
    assert experiment.calls[-1][0].model.width == 5


def test_config_name_chooses_a_primary_configuration(command, experiment, in_folder, capsys):
    write_options(in_folder / "own", {"mine.yaml": "defaults:\n  - config\n  - _self_\nclients: 4\n"})
    assert command(["--config-dir", "own", "--config-name", "mine", "rounds=2"]) == 0
    assert (experiment.calls[-1][0].clients, experiment.calls[-1][0].rounds) == (4, 2)
    assert command(["--config-dir", "own", "--config-name", "mine", "rounds=0"]) == 2
    assert "rounds=0: " in capsys.readouterr().err
