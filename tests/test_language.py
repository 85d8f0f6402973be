"""The package and its docs are written in plain English, with the words of the field (CONTRIBUTING.md, "Language")."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "fedlit").rglob("*.py"))
TEXTS = [
    *SOURCES,
    *sorted((ROOT / "conf").rglob("*.yaml")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(path for path in (ROOT / "examples").rglob("*") if path.suffix in (".py", ".md", ".yaml")),
    *sorted(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"),  # which has the old names
]

PHRASES = {  # pattern: what to write instead
    r"\bbesides\b": "also, in addition",
    r"\banew\b": "again, new",
    r"\balike\b": "the same, equal",
    r"\bso many\b": "the number itself",
    r"\bso much\b": "the amount itself",
    r"\bwhose they are\b": "the owner's name",
    r"\b(is|are|was|were) (told|said)\b": "who writes what: `the log names`, `the run warns`",
    r"\b(let|lets|letting) go of\b": "close, release, stop",
    r"\b[Ww]hoever\b": "the client that, the user who",
    r"\b(what|who) (raises|differs|fails|trains|moves|moved|did not move|came|comes)\b": "a noun first",
    r"\b(what|who) is (done|written|counted|sent)\b": "a noun first: `the clients that`",
    r",? for (it|they|he|she|we|to get|that (is|was|would)|what|nothing|there)\b": "because",
    r"\b(whence|thereby|hence|thus|meanwhile)\b": "so, while",
    r"\bmade true\b": "checked",
    r"\bborn deaf\b": "inherit the signal mask",
    r"\bmended\b|\bmends\b": "patched, replaced",
    r"\bhabits\b": "traits",
    r"\bpristine\b": "snapshot",
    r"\bstand[- ]in\b": "stub",
    r"\bparcels?\b": "packed value",
    r"\bas nearly as may be\b": "as nearly as possible",
    r"\bin the mean\b": "on average",
    r"\bnought\b": "zero",
    r"\ball through a run\b": "in every round of a run",
    r"\buploads?\b(?![/-])": "stage, uplink",
    r"\bcohort/(failed|dropped)\b": "cohort/lost, cohort/idle",
}  # fmt: skip

NAMES = {
    *("found", "there", "here", "one", "own", "made", "said", "told", "whole", "mine", "theirs", "every", "flat"),
    *("way", "habits", "pristine", "mended", "asks", "uploads"),
}
CLASSES = {
    *("Upload", "Alone", "Habits", "Pristine", "StandIn", "Way", "Line", "Member", "Parcel", "Noise", "KeyedDraws"),
    *("StepAt", "Assessment", "LocalUpdate", "Personal", "Losses"),
}


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", TEXTS, ids=_id)
def test_texts_have_no_banned_phrase(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    hits = [
        f"{_id(path)}:{number}: {match[0]!r}; write: {instead}"
        for number, line in enumerate(lines, 1)
        for pattern, instead in PHRASES.items()
        if (match := re.search(pattern, line))
    ]
    assert not hits, "\n".join(hits)


def _names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a file binds: variables, arguments, attributes of self, functions, classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr.lstrip("_"), node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name.lstrip("_"), node.lineno


KEYS = {("fedlit/evaluation/evaluation.py", "every")}  # names that are configuration keys


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_names_say_what_they_hold(path: Path) -> None:
    bound = _names(ast.parse(path.read_text(encoding="utf-8")))
    banned = (NAMES | CLASSES) - {name for file, name in KEYS if file == _id(path)}
    hits = [f"{_id(path)}:{line}: {name}" for name, line in bound if name in banned]
    assert not hits, "\n".join(hits)
