"""The code of docs/check_a_round.md and docs/after_a_run.md runs, and its numbers agree with those of the run."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from fedlit import export
from tests.markdown import CHECKOUT, blocks, commands, run, write

ROUND, AFTER = ((CHECKOUT / "docs" / f"{name}.md").read_text("utf-8") for name in ("check_a_round", "after_a_run"))
QUICK = "threads=1", "device=cpu", "logger=none", "progress=none"


def printed_by(script: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a script of the current folder prints, which may not name fedlit."""
    assert "fedlit" not in Path(script).read_text(encoding="utf-8")
    capsys.readouterr()
    runpy.run_path(script, run_name="__main__")
    return capsys.readouterr().out


@pytest.fixture
def folder(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    write([*blocks(ROUND), *blocks(AFTER)], in_folder)
    printed_by("write_digits.py", capsys)
    return in_folder


def runs(page: str) -> list[list[str]]:
    return [words for words in commands(blocks(page)) if words[:3] == ["python", "-m", "fedlit.run"]]


def test_a_round_of_fedavg_is_computed_by_hand(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [words] = runs(ROUND)
    assert run(words, folder, *QUICK) == 0
    printed = printed_by("check_round.py", capsys)
    match = re.fullmatch(r"largest difference of a weight: (\S+)\naccuracy by hand (\S+), reported (\S+)\n", printed)
    assert match is not None, printed
    assert float(match[1]) < 1e-6 and match[2] == match[3]
    assert f"accuracy by hand {match[2]}, reported {match[3]}" in ROUND
    script = next(block.text for block in blocks(ROUND) if block.file == "check_round.py")
    assert len([line for line in script.splitlines()[1:] if line.strip()]) <= 40


def test_exported_models_have_the_accuracy_of_the_summary(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [words] = runs(AFTER)
    assert run(words, folder, *QUICK) == 0
    for words in commands(blocks(AFTER)):
        if words[:3] == ["python", "-m", "fedlit.export"] and words[3] == "tuned":
            assert export.main(words[3:]) == 0
    lines = [line.split() for line in printed_by("check_accuracy.py", capsys).splitlines()]
    assert [line[0] for line in lines] == ["global", "clients"]
    assert all(computed == reported and 0.1 < float(computed) < 1 for _, computed, reported in lines), lines
    assert lines[0][1] != lines[1][1]
    script = next(block.text for block in blocks(AFTER) if block.file == "check_accuracy.py")
    assert len([line for line in script.splitlines()[1:] if line.strip() and "import" not in line]) <= 15
