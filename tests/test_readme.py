"""The code in README.md runs: a module, an aggregator, a partition and data of the reader's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fedlit import evaluate, export
from fedlit.settings.resume import MAY_CHANGE
from tests.markdown import CHECKOUT, blocks, commands, run, section, write

PAGE = (CHECKOUT / "README.md").read_text(encoding="utf-8")
QUICK = ("rounds=1", "threads=1", "progress=none", "logger=none")
SECTIONS = {"Your own model": 1, "Your own aggregator": 3, "Your own partition": 1, "Your own data": 1}  # commands
NEEDS_A_FILE = ("data=npz", "data=csv_sites", "data=table")


@pytest.mark.parametrize("title", SECTIONS)
def test_the_code_of_a_section_runs(title: str, in_folder: Path) -> None:
    code = blocks(section(PAGE, title))
    assert write(code, in_folder)
    runs = [words for words in commands(code) if not set(words) & set(NEEDS_A_FILE)]
    assert len(runs) == SECTIONS[title]
    for number, words in enumerate(runs):
        model = [] if any(word.startswith("model") for word in words) else ["model=logistic"]
        assert run(words, in_folder, *model, *QUICK, f"hydra.run.dir=out/{number}") == 0
        assert (in_folder / "out" / str(number) / "summary.json").is_file()


def test_the_ranges_of_the_yaml_are_checked(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks(section(PAGE, "Your own aggregator"))
    write(code, in_folder)
    words = next(words for words in commands(code) if "--config-dir=conf" in words)
    assert run(words, in_folder, "aggregator.mu=-1") == 2
    assert "aggregator.mu (weight of the proximal term) has to be" in capsys.readouterr().err


@pytest.mark.parametrize("title", ["Resume", "Sweeps"])
def test_all_words_that_a_resumed_run_takes_are_told(title: str) -> None:
    """A sentence on what may change beside `resume=` names each part, and no other."""
    [sentence] = re.findall(r"`rounds`, `stop`[^;]*may change;|may change \(`rounds`[^;]*\)", section(PAGE, title))
    assert set(re.findall(r"`([^`]+)`", sentence)) == set(MAY_CHANGE)


@pytest.mark.slow
def test_the_code_for_python_runs(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [code] = section(PAGE, "From Python").split("```python\n")[1:]
    exec(code.partition("```")[0], {})
    assert "global/test/accuracy" in capsys.readouterr().out


def test_the_commands_after_a_run_work(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks(section(PAGE, "After a run"))
    for words in commands(code):
        if words[2] == "fedlit.run":
            assert run(words, in_folder, "model=logistic", *QUICK) == 0
            continue
        assert {"fedlit.evaluate": evaluate, "fedlit.export": export}[words[2]].main(words[3:]) == 0, words
    assert "client_3/accuracy" in capsys.readouterr().out
    files = {path.name for path in Path("outputs/ditto/export").iterdir()}
    assert {"model.safetensors", "client_0000.ckpt", "client_0003.ckpt"} <= files
