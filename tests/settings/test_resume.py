"""`resume=<run folder>`: the saved configuration, and what may be written beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from fedlit.errors import InputError
from fedlit.run_folder import FORMAT, FORMAT_FILE, write_format
from fedlit.settings import folders
from fedlit.settings.check import check
from fedlit.settings.compose import composer
from fedlit.settings.overrides import resume_override
from fedlit.settings.resume import resume, resumed_folder
from fedlit.settings.saved import read_saved, saved_files
from tests.settings.conftest import write_options

X_DIGEST = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # SHA-256 of "x"


def save(folder: Path, number: int, overrides: list[str], config_dir: Path | None = None) -> None:
    """Leave what a run leaves in a checkpoint."""
    with composer(config_dir=config_dir) as made:
        checked = check(overrides, made)
    write_options(
        folder / "checkpoints" / f"round_{number:04}", saved_files(checked.composed.config, checked.overrides)
    )
    write_format(folder)


def resumed(folder: Path, *overrides: str):
    with composer() as made:
        return resume(folder, overrides, made)


@pytest.fixture(scope="module")
def saved_run(small_conf, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "conf_folder", lambda: small_conf)
        save(folder, 9, ["clients=5"])
        save(folder, 12, ["partition=dirichlet", "partition.alpha=0.3", "model._target_=mine.Net", "model.lr=0.2"])
    return folder


@pytest.fixture
def run(saved_run, use_small_conf, tmp_path):
    return shutil.copytree(saved_run, tmp_path / "run")


def test_the_newest_checkpoint_goes_on_unchanged(run):
    assert resumed(run).has_state
    config = resumed(run).config
    assert config == OmegaConf.merge(read_saved(run).config, {"resume": str(run)})
    assert (config.partition.alpha, config.model) == (0.3, {"_target_": "mine.Net", "lr": 0.2})


def test_the_same_overrides_again_change_nothing(run):
    overrides = ["partition=dirichlet", "partition.alpha=0.3", "model.lr=0.2", "clients=10", f"resume={run}"]
    assert resumed(run, *overrides).config == resumed(run).config


def test_rounds_engine_progress_checkpoint_and_device_may_change(run):
    overrides = ["rounds=40", "engine.on_failure=drop", "progress=plain", "checkpoint.every=5", "device=cpu"]
    config, before = resumed(run, *overrides).config, resumed(run).config
    changed = {key for key in config if config[key] != before[key]}
    assert changed == {"rounds", "engine", "progress", "checkpoint", "device"}
    assert (config.rounds, config.engine.on_failure, config.checkpoint.every) == (40, "drop", 5)


@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        (["partition.alpha=0.1"], ["partition.alpha: 0.3 -> 0.1"]),
        (["clients=11", "rounds=40"], ["clients: 10 -> 11"]),
        (["model.lr=0.3"], ["model.lr: 0.2 -> 0.3"]),
        (["model.x=1"], ["model.x: (absent) -> 1"]),
        (
            ["partition=iid"],
            [
                "partition._target_: fedlit.partitions.Dirichlet -> fedlit.partitions.Iid",
                "partition.alpha: 0.3 -> (absent)",
                "partition.min_size: 10 -> (absent)",
            ],
        ),
        (["optimizer@aggregator.server_optimizer=adam"], ["aggregator.server_optimizer._target_: torch.optim.SGD -> "]),
        (["model=cnn"], ["model._target_: mine.Net -> fedlit.models.Cnn", "model.lr: 0.2 -> (absent)"]),
        (["name=other"], ["name: null -> other"]),
    ],
)
def test_another_change_is_refused_with_a_diff(run, overrides, lines):
    with pytest.raises(InputError) as error:
        resumed(run, *overrides)
    head, *diff = str(error.value).split("\n")
    assert head.startswith(f"resume={run}: a run that goes on may change rounds, stop, targets, engine, ")
    for line in lines:
        assert any(shown.strip().startswith(line) for shown in diff), diff
    assert "rounds" not in " ".join(diff)


def test_a_wrong_override_of_a_resumed_run_gets_its_sentence(run):
    with pytest.raises(InputError, match="did you mean rounds=3?"):
        resumed(run, "ruonds=3")
    with pytest.raises(InputError, match="rounds=0: "):
        resumed(run, "rounds=0")
    with pytest.raises(InputError, match="a resumed run stays in its folder"):
        resumed(run, "hydra.run.dir=x")


def test_the_saved_values_win_over_defaults_that_have_changed(run, use_small_conf, monkeypatch, tmp_path):
    newer = shutil.copytree(use_small_conf, tmp_path / "newer")
    file = newer / "config.yaml"
    file.write_text(file.read_text().replace("batch_size: 32", "batch_size: 64").replace("rounds: 20", "rounds: 30"))
    monkeypatch.setattr(folders, "conf_folder", lambda: newer)
    config = resumed(run, "progress=plain").config
    assert (config.batch_size, config.rounds, config.progress) == (32, 20, "plain")


def test_a_run_can_be_resumed_twice(run):
    once = resumed(run, "rounds=40")
    write_options(run / "checkpoints" / "round_0030", saved_files(once.config, once.overrides))
    twice = resumed(run)
    assert twice.config.rounds == 40
    assert resumed(run, "rounds=50").config.rounds == 50


def test_the_folders_of_options_of_the_user_are_searched_again(use_small_conf, tmp_path):
    own = write_options(tmp_path / "own", {"model/net.yaml": "_target_: mine.Net\nwidth: 3\n"})
    folder = tmp_path / "run"
    save(folder, 1, ["model=net"], own)
    source = {"schema": "file", "path": str(own), "provider": "command-line"}
    record = {"hydra": {"runtime": {"config_sources": [source]}}}
    write_options(folder / ".hydra", {"hydra.yaml": OmegaConf.to_yaml(record)})
    assert resumed(folder, "rounds=3").config.model.width == 3


def test_a_damaged_file_gives_way_to_the_checkpoint_before(run):
    (run / "checkpoints" / "round_0012" / "config.yaml").write_text("{cut")
    assert resumed(run).config.clients == 5


def test_a_run_without_a_checkpoint_begins_again_with_its_configuration(use_small_conf, tmp_path):
    folder = tmp_path / "run"
    with composer() as made:
        checked = check(["partition=dirichlet", "clients=5"], made)
    write_options(folder / ".hydra", saved_files(checked.composed.config, checked.overrides))
    write_format(folder)
    again = resumed(folder, "rounds=40")
    assert not again.has_state
    assert (again.config.partition.alpha, again.config.clients, again.config.rounds) == (0.5, 5, 40)
    with pytest.raises(InputError, match="clients: 5 -> 6"):
        resumed(folder, "clients=6")
    (folder / "summary.json").touch()  # it had saved: beginning again would cut its metrics
    with pytest.raises(InputError, match="its checkpoints are gone; start it again in a new folder"):
        resumed(folder)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("at", ["a line's end", "the middle of a line"])
def test_a_cut_off_start_of_a_run_without_a_checkpoint_is_one_sentence(use_small_conf, tmp_path, kept, at):
    folder = tmp_path / "run"
    with composer() as opened:
        checked = check(["clients=5"], opened)
    files = saved_files(checked.composed.config, checked.overrides)
    lines = files["config.yaml"].splitlines(keepends=True)
    cut = "".join(lines[: int(kept * len(lines))])
    files["config.yaml"] = cut if at == "a line's end" else cut[:-2]
    write_options(folder / ".hydra", files)
    write_format(folder)
    with pytest.raises(InputError, match="start (the run|it) again in a new folder"):
        resumed(folder)


def test_a_folder_without_a_run_is_refused_with_advice(use_small_conf, tmp_path, run):
    started = write_options(tmp_path / "started", {"run.log": ""})
    sweep = write_options(
        tmp_path / "day" / "sweep", {"multirun.yaml": "", "a=1/.hydra/config.yaml": "", "a=1/format.txt": ""}
    )
    file = write_options(tmp_path / "files", {"notes.txt": ""}) / "notes.txt"
    (run / "checkpoints" / "best").mkdir()
    (run / "checkpoints" / "state.pt").touch()
    other = write_options(tmp_path / "other" / "now", {"checkpoints/round_0001/config.yaml": ""})
    foreign = write_options(tmp_path / "foreign", {"notes.txt": ""})
    torn = write_options(tmp_path / "torn" / "checkpoints", {"round_0001/config.yaml": "{cut"}).parent
    write_format(torn)
    for folder, expected in {
        tmp_path / "nowhere": "there is no such folder",
        started: "this run was stopped before it had saved anything to go on from",
        sweep: f"this is the folder of a sweep; give one of those in it, such as {resume_override(sweep / 'a=1')}.",
        sweep.parent: f"this is no folder of a fedlit run; give one of those in it, such as {resume_override(sweep)}.",
        file: "this is a file; give the folder of a run, outputs/<date>/<time>.",
        other.parent: f"this is no folder of a fedlit run; give one of those in it, such as resume={other}.",
        run / "checkpoints" / "state.pt": f"this is a file; give the folder of the run, resume={run}.",
        run / "checkpoints" / "best": f"this is a folder of checkpoints; give the folder of the run, resume={run}.",
        run / "checkpoints" / "round_0013": f"there is no such folder; give the folder of the run, resume={run}.",
        foreign: "this is no folder of a fedlit run",
        torn: "none of its checkpoints can be read",
        run / "checkpoints": f"give the folder of the run, resume={run}.",
        run / "checkpoints" / "round_0012": f"give the folder of the run, resume={run}.",
    }.items():
        with pytest.raises(InputError) as error:
            resumed(folder)
        assert expected in str(error.value)


@pytest.mark.parametrize("number", [None, FORMAT + 1])
@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_a_folder_of_another_format_is_refused_in_a_sentence(use_small_conf, tmp_path, number, has_checkpoint):
    folder = tmp_path / "run"
    save(folder, 1, ["clients=5"])
    if not has_checkpoint:
        shutil.move(folder / "checkpoints" / "round_0001", folder / ".hydra")
    for file in folder.rglob(FORMAT_FILE):
        if number is None:  # written before there were formats
            file.unlink()
        else:
            file.write_text(f"{number}\n")
    with pytest.raises(InputError) as error:
        resumed(folder)
    assert str(error.value) == (
        f"resume={folder}: this run folder has format {number or 1}, and this fedlit reads format {FORMAT}; resume it "
        "with the version of fedlit that wrote it, or start the run again in a new folder."
    )


def test_checkpoints_alone_are_enough_to_resume(use_small_conf, tmp_path):
    folder = tmp_path / "run"
    save(folder, 1, ["clients=5"])
    (folder / FORMAT_FILE).unlink()
    assert resumed(folder)


@pytest.mark.parametrize("text", ["resume=", "resume=''", 'resume=""', "resume=' '", "+resume=", "++resume="])
def test_an_empty_variable_is_not_the_current_folder(in_folder, text):
    with pytest.raises(InputError, match="this names no folder .is a variable of the shell empty"):
        resumed_folder(["clients=3", text])


@pytest.mark.parametrize("rounds", [1, 11, 12, 13, None])
def test_fewer_rounds_than_are_done_are_refused(run, rounds):
    for number in (9, 12):
        write_options(run / "checkpoints" / f"round_{number:04}", {"state.pt": "x", "state.sha256": X_DIGEST})
    words = [] if rounds is None else [f"rounds={rounds}"]
    if rounds in (1, 11):
        with pytest.raises(InputError) as error:
            resumed(run, *words)
        assert str(error.value) == (
            f"resume={run} rounds={rounds}: this run has done 12 rounds already; write rounds=13 or more to go on "
            "with it."
        )
    else:
        assert resumed(run, *words).config.rounds == (rounds or 20)


def test_a_damaged_checkpoint_is_no_round_that_is_done(run):
    write_options(run / "checkpoints" / "round_0009", {"state.pt": "x", "state.sha256": X_DIGEST})
    write_options(run / "checkpoints" / "round_0012", {"state.pt": "cut", "state.sha256": X_DIGEST})
    assert resumed(run, "rounds=10").config.rounds == 10
    with pytest.raises(InputError, match="this run has done 9 rounds already"):
        resumed(run, "rounds=8")


def test_the_resumed_folder_is_absolute(in_folder):
    assert resumed_folder(["resume=a/b", "clients=3"]) == in_folder / "a" / "b"
    assert resumed_folder(["clients=3"]) is None
    assert resumed_folder(["resume=null"]) is None
    with pytest.raises(InputError, match="one folder is resumed at a time"):
        resumed_folder(["resume=a,b"])
