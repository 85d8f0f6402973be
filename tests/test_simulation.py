"""Runs from Python: the numbers of the command line, and a process that is left as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedlit
from fedlit.errors import InputError
from fedlit.tracking import Logger
from tests.small_runs import command, numbers, same_bits, saved, without_figures
from tests.test_caller_state import state

WORDS = ["clients=4", "rounds=2", "threads=1", "device=cpu", "logger=none", "progress=none", "model=logistic"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_figures(monkeypatch)


def process_state() -> dict[str, Any]:
    handled = [signal.getsignal(number) for number in signal.valid_signals()]
    return state() | {"signals": handled, "streams": (sys.stdout, sys.stderr)}


def test_two_runs_in_one_process_have_the_numbers_of_the_command_line(in_folder: Path) -> None:
    assert command(*WORDS, "evaluation.per_client=true", "hydra.run.dir=line") == 0
    torch.manual_seed(5)
    before = process_state()
    first = fedlit.simulate([*WORDS, "evaluation.per_client=true", "hydra.run.dir=first"])
    assert process_state() == before
    torch.rand(3)
    second = fedlit.simulate([*WORDS, "hydra.run.dir=second"])
    assert same_bits(saved(second.folder, 2), saved(Path("line"), 2))
    assert numbers(first.folder) == numbers(second.folder) == numbers(Path("line"))
    assert list(first.metrics.index) == [1, 2] and first.summary["rounds"] == 2
    assert set(first.clients.index.names) == {"round", "client"}
    assert first.folder == in_folder / "first"
    assert sorted(np.concatenate(first.partition["train"])) == list(range(1438))
    with pytest.raises(InputError, match=r"no clients.jsonl; run it with evaluation.per_client=true"):
        second.clients  # noqa: B018

    weights = saved(first.folder, 2)["server"]["model"]["__model__"][0]
    before = process_state()
    for module in (first.module(), fedlit.load("first").personal(3)):
        assert torch.equal(torch.cat([p.detach().flatten() for p in module.parameters()]), weights)
        assert not module.training
    assert process_state() == before
    with pytest.raises(InputError, match="checkpoint=1: "):
        first.module(1)
    with pytest.raises(InputError, match="client 4: the run has the clients 0 to 3"):
        first.personal(4)
    with pytest.raises(InputError, match="module: this run began with model= of its configuration"):
        fedlit.load("first", module=first.module())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["client=4"], "clients"),
        (["-m", "seed=1,2"], "^-m: a call does one run"),
        (["seed=1,2"], "^seed=1,2: a call does one run"),
        (["--cfg=job"], "^--cfg=job: a call does one run"),
        (["--help"], "^--help: a call does one run"),
        ("clients=4 rounds=3", "write each word as a text of its own: 'clients=4', 'rounds=3'"),
        ({"clients": 4}, "words are texts as on the command line"),
        ([10], "^10: words are texts as on the command line"),
        (None, "words are texts as on the command line"),
        (["clients"], "write clients=<value>"),
        (["resume="], "this names no folder"),
        (["hydra.run.dir=refused", *WORDS, "model._target_=nowhere.Net"], "there is no module nowhere"),
    ],
)
def test_words_that_cannot_be_used_raise_one_sentence(in_folder: Path, words: Any, sentence: str) -> None:
    before = process_state()
    with pytest.raises(InputError, match=sentence):
        fedlit.simulate(words)
    assert process_state() == before


def test_a_finished_run_that_may_not_go_on_stays_finished(in_folder: Path) -> None:
    arrays = {"x": np.random.default_rng(0).random((40, 6), np.float32), "y": np.arange(40) % 4}
    np.savez("mine.npz", **{f"{name}_{part}": array for part in ("train", "test") for name, array in arrays.items()})
    run = fedlit.simulate("data=npz", "data.path=mine.npz", *WORDS, ["hydra.run.dir=run"])
    Path("mine.npz").rename("moved.npz")
    with pytest.raises(InputError, match="There is no file mine.npz"):
        fedlit.simulate(["resume=run", "rounds=3"])
    assert fedlit.load(run.folder).saved.finished and not Path("run/failure.txt").exists()


def test_after_ctrl_c_the_finished_rounds_are_saved(in_folder: Path) -> None:
    words = [*WORDS, "rounds=4", "hydra.run.dir=run", "logger.mine._target_=tests.small_runs.CtrlC"]
    words.remove("logger=none")
    before = process_state()
    with pytest.raises(KeyboardInterrupt):
        fedlit.simulate(words)
    assert process_state() == before
    assert fedlit.load("run").metrics.index[-1] == 2 and not fedlit.load("run").saved.finished
    assert fedlit.load("run").module() is not None


@pytest.mark.slow
def test_a_run_goes_on_by_a_word(in_folder: Path) -> None:
    first = fedlit.simulate([*WORDS, "hydra.run.dir=run"])
    run = fedlit.simulate([f"resume={first.folder}", "rounds=4"])
    assert run.saved.finished and list(run.metrics.index) == [1, 2, 3, 4]


class Nested(Logger):
    """Asks for a module, and exits, within a run."""

    def round(self, *args: Any) -> None:
        with pytest.raises(InputError, match="a run is going on in this process already"):
            fedlit.simulate([*WORDS, "hydra.run.dir=nested"])
        sys.exit(3)


@pytest.mark.slow
def test_a_run_within_a_run_is_refused_and_an_exit_is_an_error(in_folder: Path) -> None:
    before = process_state()
    with pytest.raises(RuntimeError, match=r"called sys.exit\(3\)"):
        fedlit.simulate([*WORDS, f"logger.nested._target_={__name__}.Nested"])
    assert process_state() == before and not Path("nested").exists()


APPLICATION = """
import json, os, sys
import hydra
from hydra.core.hydra_config import HydraConfig
import fedlit

@hydra.main(version_base="1.2", config_path="conf", config_name="app")
def main(config):
    record = HydraConfig.get().runtime.output_dir
    run = fedlit.simulate([*config.words, f"seed={config.seed}"])
    assert HydraConfig.get().runtime.output_dir == record and os.getcwd() == record
    print(json.dumps([str(run.folder), run.summary["rounds"]]))

main()
"""


@pytest.mark.slow
def test_runs_within_an_application_of_hydra(in_folder: Path) -> None:
    Path("conf").mkdir()
    Path("conf/app.yaml").write_text(f"seed: 0\nwords: {json.dumps(WORDS)}\nhydra: {{job: {{chdir: true}}}}\n")
    Path("app.py").write_text(APPLICATION)
    environment = {**os.environ, "PYTHONPATH": str(Path(fedlit.__file__).parents[1])}
    done = subprocess.run([sys.executable, "app.py", "-m", "seed=1,2"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    runs = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
    assert [rounds for _, rounds in runs] == [2, 2]
    assert len({folder for folder, _ in runs}) == 2 and all(str(in_folder / "multirun") in folder for folder, _ in runs)


SCRIPT = f"""
import fedlit

{{guard}}run = fedlit.simulate({[*WORDS, "engine=processes", "engine.workers=2"]})
"""


@pytest.mark.slow
@pytest.mark.parametrize("is_guarded", [True, False])
def test_a_script_with_worker_processes_needs_a_guard(in_folder: Path, is_guarded: bool) -> None:
    Path("script.py").write_text(SCRIPT.format(guard="if __name__ == '__main__': " if is_guarded else ""))
    environment = {**os.environ, "PYTHONPATH": str(Path(fedlit.__file__).parents[1])}
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, env=environment)
    assert (done.returncode == 0) == is_guarded, done.stderr
    assert ("write if __name__ == '__main__': above the run" in done.stderr) == (not is_guarded)
    assert len(list(Path("outputs").glob("*/*"))) == 1
