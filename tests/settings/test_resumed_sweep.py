"""A sweep that was stopped goes on: finished runs are skipped, the one that was cut goes on, the others begin."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from fedlit.errors import InputError
from fedlit.run import main
from fedlit.settings.saved import saved_files
from fedlit.sweeps.plan import is_finished
from fedlit.sweeps.sweep_record import read_record
from tests.report.saved_runs import write_run
from tests.settings.conftest import write_options

WORDS = ["-m", "clients=2,3", "rounds=2", "hydra.sweep.dir=mine"]


def write_rounds(config, folder):
    """What a run leaves that has done its rounds."""
    lines = [{"round": number, "global/test/accuracy": 0.5} for number in range(1, config.rounds + 1)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for file, text in saved_files(config, HydraConfig.get().overrides.task).items():
        write_options(folder / "checkpoints" / "round_0002", {file: text})
    (folder / "summary.json").write_text(json.dumps({"rounds": config.rounds, "seconds": 1.0, "stopped": None}))
    return 0


@pytest.fixture
def command(use_small_conf, in_folder, experiment):
    experiment.then = write_rounds
    return main


def clients(experiment) -> list[int]:
    """Those of the runs since the last look."""
    numbers = [config.clients for config, _, _ in experiment.calls]
    experiment.calls.clear()
    return numbers


@pytest.fixture
def cut(command, experiment, capsys) -> Path:
    """A sweep of three runs: Ctrl-C came after the first round of the second one."""

    def then(config, folder):
        if config.clients != 3:
            return write_rounds(config, folder)
        (folder / "metrics.jsonl").write_text('{"round": 1}\n')
        return 130

    experiment.then = then
    assert command(["-m", "clients=2,3,4", "rounds=2", "hydra.sweep.dir=mine"]) == 130
    assert capsys.readouterr().out.endswith("the sweep is stopped; go on with: python -m fedlit.run resume=mine\n")
    assert clients(experiment) == [2, 3]
    experiment.then = write_rounds
    return Path("mine")


@pytest.mark.parametrize(
    "words",
    [
        ["resume=mine"],
        pytest.param(["-m", "clients=2,3,4", "rounds=2", "hydra.sweep.dir=mine"], marks=pytest.mark.slow),
    ],
)
def test_a_stopped_sweep_goes_on(command, experiment, cut, in_folder, capsys, words):
    record = (cut / "clients=3" / ".hydra" / "hydra.yaml").read_bytes()
    assert command(words) == 0
    assert [config.resume for config, _, _ in experiment.calls] == [str(in_folder / "mine" / "clients=3"), None]
    assert clients(experiment) == [3, 4]
    assert (cut / "clients=3" / ".hydra" / "hydra.yaml").read_bytes() == record
    shown = capsys.readouterr().out
    assert "mine: 3 runs, 1 are finished, 1 go on, 1 begin" in shown and "mine: 3 of 3 runs finished" in shown
    assert command(words) == 0 and clients(experiment) == []


@pytest.mark.slow
def test_it_goes_on_from_another_folder_and_after_a_move(command, experiment, cut, in_folder, monkeypatch, capsys):
    (in_folder / "elsewhere").mkdir()
    shutil.move(cut, in_folder / "elsewhere" / "moved")
    monkeypatch.chdir(in_folder / "elsewhere")
    assert command(["resume=moved"]) == 0
    assert "report: python -m fedlit.report moved\n" in capsys.readouterr().out
    assert [folder for _, folder, _ in experiment.calls] == [
        in_folder / "elsewhere" / "moved" / name for name in ("clients=3", "clients=4")
    ]
    assert Path.cwd() == in_folder / "elsewhere" and not cut.exists()


@pytest.mark.slow
def test_runs_that_were_renamed_are_found(command, experiment, cut):
    (cut / "renamed").mkdir()
    (cut / "clients=2").rename(cut / "renamed" / "first")
    (cut / "clients=3").rename(cut / "second")
    assert command(["resume=mine"]) == 0
    assert [folder.name for _, folder, _ in experiment.calls] == ["second", "clients=4"]
    record = read_record(cut)
    assert record is not None and record.jobs is not None
    assert [job.folder for job in record.jobs] == ["renamed/first", "second", "clients=4"]


@pytest.mark.slow
def test_a_run_that_was_moved_away_begins_again(command, experiment, cut, in_folder):
    (cut / "clients=2").rename(in_folder / "away")
    assert command(["resume=mine"]) == 0
    assert clients(experiment) == [2, 3, 4]


def test_with_more_values_only_the_new_ones_run(command, experiment, capsys):
    assert command(WORDS) == 0 and clients(experiment) == [2, 3]
    assert command(["-m", "clients=2,3,4", "rounds=2", "hydra.sweep.dir=mine"]) == 0 and clients(experiment) == [4]
    capsys.readouterr()
    assert command(["-m", "clients=5", "batch_size=8,32", "rounds=2", "hydra.sweep.dir=mine"]) == 0
    assert clients(experiment) == [5, 5]
    shown = capsys.readouterr().out
    assert "mine: 2 runs, beside 3 of earlier commands\n" in shown
    assert "mine: 5 of 5 runs finished, with 3 of earlier commands\n" in shown
    table = shown.partition("(seeds)\n")[2].splitlines()
    assert [line.split()[:2] for line in table[:6]] == [
        ["clients", "batch_size"],
        *(["2", "32"], ["3", "32"], ["4", "32"], ["5", "8"], ["5", "32"]),
    ]
    record = read_record(Path("mine"))
    assert record is not None and record.jobs is not None
    assert record.swept == {"clients": ["2", "3", "4", "5"], "batch_size": ["8", "32"]}
    assert {job.folder for job in record.jobs} == {
        "clients=2",
        "clients=3",
        "clients=4",
        "clients=5,batch_size=8",
        "clients=5,batch_size=32",
    }
    assert command(["resume=mine"]) == 0 and clients(experiment) == []


@pytest.mark.slow
def test_more_values_beside_resume_are_answered_with_the_whole_command(command, experiment, capsys, in_folder):
    assert command(["-m", "clients=2,3", "seed=1", "name='a,b'", "rounds=2", "hydra.sweep.dir=mine"]) == 0
    clients(experiment)
    capsys.readouterr()
    assert command(["resume=mine", "clients=2,3,4"]) == 2
    message = capsys.readouterr().err
    _, _, whole = message.partition("add others by the whole command: ")
    assert shlex.split(whole)[:3] == ["python", "-m", "fedlit.run"] and message.count("\n") == 1
    assert command(shlex.split(whole)[3:]) == 0
    assert clients(experiment) == [4] and len(read_record(Path("mine")).jobs) == 3
    assert (
        command(["-m", "clients=2", "seed=1", "batch_size=8,32", "name='a,b'", "rounds=2", "hydra.sweep.dir=mine"]) == 0
    )
    assert clients(experiment) == [2]
    capsys.readouterr()
    assert command(["resume=mine", "seed=1,2"]) == 2  # the values of both commands
    _, _, whole = capsys.readouterr().err.partition("whole command: ")
    assert {"clients=2,3,4", "batch_size=8,32", "seed=1,2", "hydra.sweep.dir=mine"} < set(shlex.split(whole))
    capsys.readouterr()
    assert command(["resume=mine", "server_samples=8"]) == 2  # other settings for all runs are another sweep
    _, _, whole = capsys.readouterr().err.partition("start another sweep by the whole command: ")
    assert "hydra.sweep.dir" not in whole and shlex.split(whole)[-1] == "server_samples=8"


@pytest.mark.slow
def test_the_whole_command_is_one_for_the_folder_that_the_sweep_began_in(command, in_folder, monkeypatch, capsys):
    assert command(WORDS) == 0
    (in_folder / "elsewhere").mkdir()
    monkeypatch.chdir(in_folder / "elsewhere")
    capsys.readouterr()
    assert command(["resume=../mine", "clients=7"]) == 2
    _, _, whole = capsys.readouterr().err.partition("whole command: ")
    assert shlex.split(whole)[:3] == ["cd", str(in_folder), "&&"]
    assert shlex.split(whole)[-1] == f"hydra.sweep.dir={in_folder / 'mine'}"


@pytest.mark.slow
def test_a_kill_while_hydra_writes_its_record_of_a_run(command, experiment, cut, in_folder):
    write_options(cut / "clients=4", {".hydra/config.yaml": "clients: 4\nrou", "run.log": ""})
    assert command(["resume=mine"]) == 0
    assert clients(experiment) == [3, 4]


@pytest.mark.slow
def test_a_run_in_another_process_is_waited_for(command, experiment, cut, capsys):
    path = str((cut / "clients=3" / ".lock").absolute())
    code = f"import filelock, sys; lock = filelock.FileLock({path!r}); lock.acquire()"
    code += "; print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        assert command(["resume=mine"]) == 2
        assert "clients=3 is in use by another process" in capsys.readouterr().err and experiment.calls == []
        process.stdin.close()
    assert command(["resume=mine"]) == 0


@pytest.mark.slow
def test_with_more_rounds_all_go_on(command, experiment):
    assert command(WORDS) == 0 and clients(experiment) == [2, 3]
    for rounds, words in {4: ["-m", "clients=2,3", "hydra.sweep.dir=mine"], 6: ["resume=mine"]}.items():
        assert command([*words, f"rounds={rounds}"]) == 0
        assert [config.rounds for config, _, _ in experiment.calls if config.resume] == [rounds, rounds]
        assert clients(experiment) == [2, 3]


def test_a_run_that_failed_runs_again(command, experiment, capsys):
    def then(config, folder):
        if config.clients == 2:
            raise RuntimeError("boom")
        return write_rounds(config, folder)

    experiment.then = then
    assert command(WORDS) == 1
    assert clients(experiment) == [2, 3]
    shown = capsys.readouterr().out
    assert "run 1/2  clients=2  failed" in shown and "mine: 1 of 2 runs finished" in shown
    assert "  clients=2  failed: RuntimeError: boom\n" in shown
    assert "report: python -m fedlit.report mine\nagain: python -m fedlit.run resume=mine\n" in shown
    assert Path("mine/clients=2/failure.txt").read_text() == "RuntimeError: boom\n"
    experiment.then = write_rounds
    assert command(["resume=mine"]) == 0
    assert clients(experiment) == [2] and not Path("mine/clients=2/failure.txt").exists()


@pytest.mark.slow
def test_one_run_of_a_sweep_is_resumed_alone(command, experiment, cut):
    assert command(["resume='mine/clients=3'"]) == 0
    assert clients(experiment) == [3]
    assert command(["resume=mine"]) == 0
    assert clients(experiment) == [4]


# --- what cannot go on

REFUSED = {
    "resume=mine batch_size=9": "batch_size=9: a sweep that goes on may change rounds, ",
    "resume=mine clients=9": "clients=9: resume= goes on with the runs of the sweep; add others by the whole command: ",
    "resume=mine hydra.sweep.dir=other": "hydra.sweep.dir=other: a sweep that goes on may change ",
    "resume=mine rounds=1": "has done 2 rounds already; write rounds=2 or more.",
    "resume=mine rounds=3,4": "rounds=3,4: the sweep varies rounds",
    "resume=mine --cfg job": "this is a sweep; --cfg and --info show one run",
    "-m resume='mine/clients=2'": "this is no sweep; resume one run without --multirun.",
    "-m clients=2,3 rounds=2 batch_size=8 hydra.sweep.dir=mine": "mine/clients=2 holds a run with other settings "
    "(batch_size: 32 -> 8) where a run of this sweep would lie; write hydra.sweep.dir=<another folder>.",
    "clients=2 hydra.run.dir=mine": "hydra.run.dir=mine: this folder holds a run already",
}


def test_what_would_be_another_sweep_is_refused(command, experiment, cut, capsys):
    before = (cut / "sweep.json").read_bytes()
    for words, expected in REFUSED.items():
        assert command(words.split()) == 2
        message = capsys.readouterr().err
        assert expected in message and message.count("\n") == 1, message
        assert experiment.calls == [] and (cut / "sweep.json").read_bytes() == before


@pytest.mark.slow
def test_a_key_that_is_swept_does_not_change_for_all(command, experiment, capsys):
    assert command(["-m", "rounds=1,2", "hydra.sweep.dir=mine"]) == 0
    assert command(["resume=mine", "rounds=3"]) == 2
    assert (
        "rounds=3: the sweep varies rounds, so that it cannot be changed for all of its runs."
        in capsys.readouterr().err
    )


@pytest.mark.slow
def test_options_that_have_changed_since_are_refused(command, experiment, cut, use_small_conf, monkeypatch, capsys):
    file = use_small_conf / "partition" / "iid.yaml"
    text = file.read_text()
    try:
        file.write_text(f"{text}min_size: 1  # least samples [int >= 0]\n")
        assert command(["resume=mine"]) == 2
    finally:
        file.write_text(text)
    assert "(partition.min_size: (absent) -> 1)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_value_that_is_taken_from_the_place_in_the_sweep(command, experiment, capsys):
    words = ["model._target_=types.SimpleNamespace", "model.place='${hydra:job.num}'", "hydra.sweep.dir=mine"]
    places = []

    def then(config, folder):
        places.append((config.clients, config.model.place))
        if config.clients == 3 and len(places) == 2:
            raise InputError("not yet.")
        return write_rounds(config, folder)

    experiment.then = then
    assert command(["-m", "clients=2,3,4", *words]) == 1
    assert command(["resume=mine"]) == 0
    assert places == [(2, 0), (3, 1), (4, 2), (3, 1)]
    assert command(["-m", "clients=1,2,3,4", *words]) == 2
    assert "runs cannot be added to it" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["-m", None])
def test_a_key_that_is_checked_is_not_taken_from_the_place_in_the_sweep(command, experiment, in_folder, capsys, flag):
    words = ["clients=3", "batch_size='${hydra:job.num}'"]
    assert command(words if flag is None else [flag, *words]) == 2
    assert capsys.readouterr().err == (
        "batch_size: it is taken from ${hydra:...}, which a job alone knows, and batch_size is checked before the "
        "first job; write a value, or in a sweep a value for each job. Only keys of a class of yours may be taken from "
        "there.\n"
    )
    assert experiment.calls == [] and list(in_folder.iterdir()) == []


@pytest.mark.slow
def test_a_damaged_record_is_refused(command, cut, capsys):
    for text in ("", "[]", '{"words": []}', '{"words": ["cli'):
        (cut / "sweep.json").write_text(text)
        assert command(["resume=mine"]) == 2
        message = capsys.readouterr().err
        assert "the record of this sweep cannot be read" in message and message.count("\n") == 1


def test_a_run_that_stopped_goes_on_where_its_rule_has_changed(tmp_path):
    config = OmegaConf.create({"rounds": 9, "stop": {"target": 0.8}})
    run = write_run(tmp_path / "run", ["stop.target=0.8"], [{"a": 1.0}] * 3, rounds=9)
    (run / "summary.json").write_text(json.dumps({"rounds": 3, "stopped": "the target"}))
    assert is_finished(run, config)
    config.stop.target = 0.9
    assert not is_finished(run, config)


@pytest.mark.slow
def test_runs_that_stopped_go_on_with_more_rounds(command, experiment):
    def then(config, folder):
        write_rounds(config, folder)
        lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
        (folder / "metrics.jsonl").write_text("".join(lines[:2]))
        (folder / "summary.json").write_text(json.dumps({"rounds": 2, "seconds": 1.0, "stopped": "the target"}))
        return 0

    experiment.then = then
    assert command(["-m", "clients=2,3", "rounds=4", "hydra.sweep.dir=mine"]) == 0 and clients(experiment) == [2, 3]
    assert command(["resume=mine"]) == 0 and clients(experiment) == []
    assert command(["resume=mine", "rounds=6"]) == 0
    assert [config.rounds for config, _, _ in experiment.calls] == [6, 6] and clients(experiment) == [2, 3]
    assert command(["resume=mine", "rounds=6"]) == 0 and clients(experiment) == []


# --- begins


def test_values_that_are_written_twice_run_once(command, experiment, capsys):
    assert command(["-m", "clients=2,2,3", "rounds=1", "partition=iid,iid"]) == 0
    assert clients(experiment) == [2, 3]
    assert "`clients=2 rounds=1 partition=iid` is asked for twice; it is run once." in capsys.readouterr().out


def test_the_record_is_written_before_the_first_run(command, experiment, in_folder):
    def then(config, folder):
        record = read_record(folder.parent)
        assert record is not None and record.jobs is not None
        assert record.words == ["clients=2,3", "name='a,b'", "rounds=2", "hydra.sweep.dir=mine"]
        assert (record.began_in, record.swept) == (str(in_folder), {"clients": ["2", "3"]})
        assert [job.folder for job in record.jobs] == ["clients=2", "clients=3"]
        assert record.jobs[1].overrides == ["clients=3", "name='a,b'", "rounds=2"]
        return write_rounds(config, folder)

    experiment.then = then
    assert command(["-m", "clients=2,3", "name='a,b'", "rounds=2", "hydra.sweep.dir=mine"]) == 0


@pytest.mark.slow
def test_a_second_sweep_has_a_folder_of_its_own(command, experiment):
    for _ in range(2):
        assert command(["-m", "clients=2,3", "rounds=1"]) == 0
    assert len({folder for _, folder, _ in experiment.calls}) == 4
    assert sorted(path.name for path in Path("multirun").iterdir()) == ["now", "now-2"]


@pytest.mark.slow
def test_progress_none_prints_nothing(command, experiment, capsys):
    assert command([*WORDS, "progress=none"]) == 0
    assert capsys.readouterr() == ("", "")
