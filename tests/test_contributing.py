"""The code in CONTRIBUTING.md: every file is written into a copy of the checkout, and every command runs there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.markdown import CHECKOUT, blocks, commands, section, write

PAGE = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = ["Add an aggregator", "Add a message stage", "Add a partition", "Add a logger"]
QUICK = ("rounds=1", "threads=1", "progress=none")
DRIVER = """
import json, sys
import pytest
from tests.small_runs import command

for number, words in enumerate(json.loads(sys.stdin.read())):
    tool, more = words[2], words[3:]
    code = pytest.main(["-q", *more]) if tool == "pytest" else command(*more, f"hydra.run.dir=out/{number}")
    if code:
        sys.exit(f"{' '.join(words)}: exit code {int(code)}")
"""  # one process for all commands: torch and Lightning are imported once


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_has_six_steps_with_a_file_its_yaml_a_test_and_commands(title: str) -> None:
    text = section(PAGE, title)
    assert re.findall(r"^(\d)\. ", text, flags=re.M) == list("123456")
    files = [block.file for block in blocks(text) if block.file]
    assert {Path(file).parts[0] for file in files} == {"fedlit", "conf", "tests"}
    tested = [words for words in commands(blocks(text)) if words[:3] == ["python", "-m", "pytest"]]
    oracles = "tests/aggregators/test_oracles.py"  # runs the files of tests/oracles
    tests = [oracles if file.startswith("tests/oracles/") else file for file in files if file.startswith("tests/")]
    assert tests == [words[3] for words in tested[:1]]


def test_every_block_is_a_file_or_commands() -> None:
    code = blocks(PAGE)
    assert code and all(block.file or block.commands for block in code)
    assert {tuple(words[:2]) for words in commands(code)} == {("python", "-m")}
    assert {words[2] for words in commands(code)} == {"pytest", "fedlit.run"}


def test_the_files_do_not_exist_yet() -> None:
    """An example that the package has by now would be a second copy."""
    new = [block.file for block in blocks(PAGE) if block.file and not block.at_the_end]
    assert [file for file in new if (CHECKOUT / file).exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("title", SECTIONS)
def test_the_files_of_a_section_pass_their_tests_and_run(title: str, tmp_path: Path) -> None:
    for name in ("fedlit", "conf", "tests", "pyproject.toml"):
        copy = shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy
        copy(CHECKOUT / name, tmp_path / name)
    code = blocks(section(PAGE, title))
    written = write(code, tmp_path)
    calls = [[*words, *(QUICK if words[2] == "fedlit.run" else ())] for words in commands(code)]
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], input=json.dumps(calls), cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    new = [path for path in written if path.suffix == ".py" and path.name != "__init__.py"]
    for style in (["check"], ["format", "--check"]):
        checked = subprocess.run(
            [sys.executable, "-m", "ruff", *style, *new], cwd=tmp_path, capture_output=True, text=True
        )
        assert checked.returncode == 0, checked.stdout
