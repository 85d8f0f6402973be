"""Runs from Python: the numbers of the command line, and a process that is left as it was."""

from __future__ import annotations

import logging
import random
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import fedlit
from fedlit.errors import InputError
from tests.small_runs import command, numbers, same_bits, saved

WORDS = [
    *("clients=4", "rounds=2", "threads=1", "device=cpu", "logger=none", "progress=none", "model=logistic"),
    "evaluation.each_epoch=true",
]


def process_state() -> dict[str, Any]:
    root = logging.getLogger()
    return {
        "handlers": list(root.handlers),
        "level": root.level,
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "path": list(sys.path),
        "streams": (sys.stdout, sys.stderr),
        "warnings": (warnings.showwarning, list(warnings.filters)),
        "threads": torch.get_num_threads(),
        "hydra": (GlobalHydra.instance().hydra, HydraConfig.instance().cfg),
        "folder": Path.cwd(),
        "draws": (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()),
    }


def test_two_runs_in_one_process_have_the_numbers_of_the_command_line(in_folder: Path) -> None:
    assert command(*WORDS, "hydra.run.dir=line") == 0
    torch.manual_seed(5)
    fedlit.simulate([*WORDS, "hydra.run.dir=zero", "rounds=1"])  # imports what the first run imports
    before = process_state()
    first = fedlit.simulate([*WORDS, "hydra.run.dir=first"])
    assert process_state() == before
    torch.rand(3)
    second = fedlit.simulate([*WORDS, "hydra.run.dir=second"])
    for run in (first, second):
        assert numbers(run.folder) == numbers(Path("line"))
        assert same_bits(saved(run.folder, 2), saved(Path("line"), 2))
    assert list(first.metrics.index) == [1, 2] and first.summary["rounds"] == 2
    assert set(first.clients.index.names) == {"round", "client"}
    assert first.folder == in_folder / "first"

    weights = saved(first.folder, 2)["server"]["model"]["__model__"][0]
    before = process_state()
    for module in (first.module(), fedlit.load("first").personal(3)):
        assert torch.equal(torch.cat([p.detach().flatten() for p in module.parameters()]), weights)
        assert not module.training
    assert process_state() == before
    with pytest.raises(InputError, match="client 4: the run has the clients 0 to 3"):
        first.personal(4)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["client=4"], "clients"),
        (["-m", "seed=1,2"], "^-m: a call does one run"),
        (["seed=1,2"], "^seed=1,2: a call does one run"),
        (["--cfg=job"], "^--cfg=job: a call does one run"),
        ("clients=4", r"write \['clients=4'\]"),
        ({"clients": 4}, "words are texts"),
        ([10], "words are texts"),
        (None, "words are texts"),
        (["clients"], "write clients=<value>"),
        (["resume="], "this names no folder"),
        (
            ["hydra.run.dir=refused", *WORDS, "sampler=uniform", "model._target_=nowhere.Net"],
            "there is no module nowhere",
        ),
    ],
)
def test_words_that_cannot_be_used_raise_one_sentence(in_folder: Path, words: Any, sentence: str) -> None:
    before = process_state()
    with pytest.raises(InputError, match=sentence):
        fedlit.simulate(words)
    assert process_state() == before


def test_after_ctrl_c_the_saved_run_goes_on(in_folder: Path) -> None:
    words = [*WORDS, "rounds=4", "hydra.run.dir=run", "logger=none", "logger.mine._target_=tests.small_runs.CtrlC"]
    words.remove("logger=none")
    before = process_state()
    with pytest.raises(KeyboardInterrupt):
        fedlit.simulate(words)
    assert process_state() == before
    assert fedlit.load("run").metrics.index[-1] == 2 and not fedlit.load("run").saved.finished
    run = fedlit.simulate(["resume=run"])
    assert run.saved.finished and list(run.metrics.index) == [1, 2, 3, 4]
