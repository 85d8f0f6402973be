"""The code and the commands of docs/messages.md and docs/attacks.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.markdown import CHECKOUT, blocks, commands, run, write

QUICK = ["clients=10", "rounds=1", "local_updates=1", "threads=1", "progress=none", "logger=none"]


@pytest.mark.parametrize("page", ["messages", "attacks"])
def test_the_code_and_the_commands_of_a_page_run(page: str, in_folder: Path) -> None:
    code = blocks((CHECKOUT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
    assert write(code, in_folder)
    for number, words in enumerate(commands(code)):
        place = "hydra.sweep.dir" if "-m" in words[3:] else "hydra.run.dir"
        assert run(words, in_folder, *QUICK, f"{place}={number}") == 0, words


def test_a_rule_of_ones_own_excludes_clients(in_folder: Path) -> None:
    write(blocks((CHECKOUT / "docs/messages.md").read_text(encoding="utf-8")), in_folder)
    words = ["reduction._target_=rule.Smallest", "attack=scaling", "attack.clients=[2,3]", "hydra.run.dir=run"]
    assert run(["python", "-m", "fedlit.run", *words], in_folder, *QUICK) == 0
    row = json.loads((in_folder / "run/metrics.jsonl").read_text(encoding="utf-8"))
    assert row["reduction/kept"] == 5 and row["attack/recall"] == 1.0
