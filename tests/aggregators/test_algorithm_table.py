"""README's table of algorithms: its rows are counted, and what is counted is what the run's bytes say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from fedlit.settings.help import help_text
from tests.aggregators.algorithm_table import BEGIN, END, order, row, traffic, vectors
from tests.aggregators.federations import Running
from tests.aggregators.posed import SIZES, TEST_SIZES, VALIDATION_SIZES, algorithm
from tests.slow import some_slow
from tests.small_runs import OPTIONS

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
ROWS = README[README.index(BEGIN) + len(BEGIN) : README.index(END)].splitlines()[2:]
QUICK = ["fedavg", "fedper", "scaffold", "ifca"]


@pytest.mark.parametrize("option", some_slow(OPTIONS["aggregator"], QUICK))
def test_the_row_of_readme_is_what_is_counted(option: str, tmp_path: Path) -> None:
    assert row(option, tmp_path) in ROWS, (
        f"README.md is old: put the row of `python -m tests.aggregators.algorithm_table {option}` into its table"
    )


def test_readme_has_one_row_for_each_option_in_order() -> None:
    assert sorted(line.split("`")[1] for line in ROWS) == sorted(OPTIONS["aggregator"])
    assert sorted(ROWS, key=order) == ROWS


@pytest.mark.parametrize("option", some_slow(OPTIONS["aggregator"], ["scaffold"]))
def test_what_is_counted_are_the_bytes_of_a_run(option: str, tmp_path: Path) -> None:
    counted = traffic(option, tmp_path)
    aggregator = algorithm(option, {"M": 3} if option == "fedfomo" else {})
    sizes = [sum(SIZES)] if aggregator.pooled else SIZES
    parts = {"sizes": sizes, "validation_sizes": VALIDATION_SIZES, "test_sizes": TEST_SIZES}
    last = Running(tmp_path, aggregator, norm=True, **parts).go(2).rows[-1]  # type: ignore[arg-type]
    for tensors, name in ((counted.down, "comm/bytes_down"), (counted.up, "comm/bytes_up")):
        assert sum(t.numel() * t.element_size() for t in tensors.values()) * len(sizes) == last[name]


@pytest.mark.parametrize(
    ("shapes", "text"),
    [
        ({}, "-"),
        ({"a": (7,), "a.statistics": (2,)}, "1"),
        ({"a": (7,), "b": (7,), "n": (1,)}, "2 + numbers"),
        ({"a": (4, 7)}, "N"),
        ({"a": (4, 7), "b": (4, 7), "c": (7,)}, "1 + 2 N"),
        ({"a": (3, 7), "b": (5,)}, "`k` + body"),
    ],
)
def test_vectors_are_counted_by_their_length(shapes: Mapping[str, tuple[int, ...]], text: str) -> None:
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    assert vectors(tensors, {7: "1", 5: "body"}, {4: "N", 3: "`k`"}) == text


def test_help_lists_every_algorithm_with_a_sentence() -> None:
    lines = help_text(["aggregator"]).splitlines()
    for option in OPTIONS["aggregator"]:
        sentence = lines[lines.index(f"aggregator={option}") + 1]
        assert len(sentence.split()) > 5 and ":" in sentence, sentence
