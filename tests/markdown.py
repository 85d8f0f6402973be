"""The code blocks of a page: files are written, commands are run, so that nothing in the page rots."""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.small_runs import command

CHECKOUT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the file that its first line names (`# mine.py`), if it does."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        match = re.match(r"# ([\w./-]+\.(?:py|yaml))(?:, at the end)?\n", self.text)
        return match[1] if match else None

    @property
    def at_the_end(self) -> bool:
        """The block is appended to the file."""
        return self.text.partition("\n")[0].endswith(", at the end")

    @property
    def commands(self) -> list[list[str]]:
        """The words of each line of a `bash` block, without its comment."""
        lines = self.text.splitlines() if self.language == "bash" else []
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, without the indentation of a list."""
    matches = re.findall(r"^( *)```(\w*)\n(.*?)^\1```$", page, flags=re.M | re.S)
    return [Block(language, textwrap.dedent(text)) for _, language, text in matches]


def section(page: str, title: str) -> str:
    """The text under a heading `## title`, up to the next one."""
    _, heading, after = page.partition(f"\n## {title}\n")
    assert heading, f"no section {title!r}"
    return after.partition("\n## ")[0]


def write(code: Sequence[Block], folder: Path) -> list[Path]:
    """Write the files of the blocks into a folder."""
    written = []
    for block in code:
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "a" if block.at_the_end else "w", encoding="utf-8") as file:
                file.write(block.text.partition("\n")[2])  # without the name
            written.append(path)
    return written


def commands(code: Sequence[Block]) -> Iterator[list[str]]:
    for block in code:
        yield from block.commands


def run(words: Sequence[str], folder: Path, *more: str) -> int:
    """The exit code of a command of a page, `python -m fedlit.run ...`, in this process; `folder` is the current one.

    Modules of the folder are imported from it, whatever another test has imported under their names.
    """
    assert list(words[:3]) == ["python", "-m", "fedlit.run"], words
    names = [file.stem for file in folder.glob("*.py")]
    for name in names:
        sys.modules.pop(name, None)
    try:
        return command(*words[3:], *more)
    finally:
        for name in names:
            sys.modules.pop(name, None)
