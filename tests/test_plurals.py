"""One of a thing is not called by its plural."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fedlit.plurals import counted

NOUNS = (
    "rounds clients samples epochs batches rows columns classes sites threads cores parts numbers pieces steps labels "
    "parameters shards tensors"
)
LITERAL = re.compile(r"(?:[})]|%d) (?:(?:training|test|local) )?(?:" + "|".join(NOUNS.split()) + r")\b")
ALWAYS_SEVERAL = {  # a name stands before the plural, or the number is never one
    "fedlit/training/stacked/traced_rows.py",
    "fedlit/engines/processes.py",
    "fedlit/engines/worker_process.py",
    "fedlit/data/client_data.py",
    "fedlit/experiment_about.py",
    "fedlit/data/normalize.py",
    "fedlit/messages/wire.py",
}


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [
        (0, ("round",), "0 rounds"),
        (1, ("round",), "1 round"),
        (2, ("round",), "2 rounds"),
        (1, ("class", "classes"), "1 class"),
        (1000, ("class", "classes"), "1,000 classes"),
    ],
)
def test_a_number_with_its_noun(number, words, expected):
    assert counted(number, *words) == expected


def test_no_message_has_a_plural_after_a_number_that_may_be_one():
    root = Path(__file__).parents[1]
    wrong = [
        f"{file.relative_to(root)}:{number}: {line.strip()}"
        for file in sorted((root / "fedlit").rglob("*.py"))
        if str(file.relative_to(root)) not in ALWAYS_SEVERAL
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if LITERAL.search(line) and '"' in line and "counted(" not in line and '"""' not in line
    ]
    assert not wrong, "write counted(number, noun) of fedlit.plurals"
