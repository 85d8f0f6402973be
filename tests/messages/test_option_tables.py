"""README's tables of stages, reductions and attacks: the sentences are those of the YAML, the bytes are counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedlit.messages import stages
from fedlit.settings.classes import locate
from tests.messages.option_tables import BEGIN, END, HEADERS, field, row, shown
from tests.slow import some_slow
from tests.small_runs import OPTIONS, composed

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
TABLES = README[README.index(BEGIN) + len(BEGIN) : README.index(END)].split("\n\n")
ROWS = [(group, option) for group in HEADERS for option in shown(group)]
QUICK = [(group, option) for group, option in ROWS if group in ("reduction", "attack") or option == "topk"]


@pytest.mark.parametrize(("group", "option"), some_slow(ROWS, QUICK))
def test_the_row_of_readme_is_that_of_the_option(group: str, option: str) -> None:
    [table] = [table for table in TABLES if table.startswith(f"| {group}=")]
    assert row(group, option) in table.splitlines(), (
        "README.md is old: put what `python -m tests.messages.option_tables` prints between its marks"
    )


def test_each_table_has_one_row_for_each_option_in_order() -> None:
    for table, (group, header) in zip(TABLES, HEADERS.items(), strict=True):
        first, _, *rows = table.splitlines()
        assert (first, [line.split("`")[1] for line in rows]) == (header, shown(group))


@pytest.mark.parametrize("option", OPTIONS["uplink"])
def test_the_place_in_the_yaml_is_that_of_the_class(option: str) -> None:
    stage = locate(composed(f"uplink=[{option}]").config.uplink[option]._target_, f"uplink.{option}")
    assert issubclass(stage, stages.Stage) and field("uplink", option, "Place") == stage.place


@pytest.mark.parametrize("option", OPTIONS["reduction"])
def test_the_cost_of_each_reduction_is_written(option: str) -> None:
    assert field("reduction", option, "Cost").startswith("time ")
