"""An algorithm is one short file with its option, and neither round loop, trainers nor engines know of it."""

from __future__ import annotations

import re
from pathlib import Path

import fedlit
from fedlit.settings.classes import locate
from tests.small_runs import OPTIONS, composed

PACKAGE = Path(fedlit.__file__).parent
CLASSES = {
    option: locate(composed(f"aggregator={option}").config.aggregator._target_, "aggregator")
    for option in OPTIONS["aggregator"]
}
ENGLISH = {"local", "centralized"}  # options whose names are words, too
LOOP = ("rounds.py", "client_tasks.py", "server_update.py", "server_round.py", "round.py", "state.py", "federation.py")


def test_each_option_has_a_file_of_at_most_120_lines() -> None:
    modules = [algorithm.__module__ for algorithm in CLASSES.values()]
    assert len(set(modules)) == len(modules)
    lengths = {file.name: len(file.read_text().splitlines()) for file in (PACKAGE / "aggregators").glob("*.py")}
    del lengths["base.py"]  # the contract
    assert {name: length for name, length in lengths.items() if length > 120} == {}


def test_round_loop_trainers_and_engines_name_no_algorithm() -> None:
    names = (CLASSES.keys() - ENGLISH) | {algorithm.__name__ for algorithm in CLASSES.values()}
    pattern = re.compile(rf"\b({'|'.join(names)})\b")
    files = [
        *(PACKAGE / name for name in LOOP),
        *(PACKAGE / "training").rglob("*.py"),
        *(PACKAGE / "engines").rglob("*.py"),
    ]
    assert len(files) > 40
    naming = {}
    for file in files:
        text = file.read_text().replace("aggregator=fedavg", "")  # a way out, in the sentence of a refusal
        if named := pattern.findall(text):
            naming[file.name] = named
    assert naming == {}
