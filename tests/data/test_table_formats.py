"""How tables write their cells: encodings, separators, decimal commas, missing values, names and orders of columns."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedlit.data.csv_sites import csv_sites
from fedlit.errors import InputError
from tests.data.tables import counts, load, table

TARGETS = ["no", "yes"] * 8
PLAIN = table(TARGETS)


def inputs(source: object) -> np.ndarray:
    return np.concatenate([source.train.tensors[0], source.test.tensors[0]])  # type: ignore[attr-defined]


def decimal_comma(text: str) -> str:
    rows = list(csv.reader(io.StringIO(text)))
    return "".join(";".join(cell.replace(".", ",") for cell in row) + "\n" for row in rows)


def quoted(text: str) -> str:
    return "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in csv.reader(io.StringIO(text)))


FORMATS = {
    "utf-8 with a byte order mark": (PLAIN.encode("utf-8-sig"), {}),
    "a byte order mark before a quote": (quoted(PLAIN).encode("utf-8-sig"), {}),
    "utf-16": (PLAIN.encode("utf-16"), {}),
    "utf-16, big-endian": (b"\xfe\xff" + PLAIN.encode("utf-16-be"), {}),
    "utf-32": (PLAIN.encode("utf-32"), {}),
    "utf-16 without a mark": (PLAIN.encode("utf-16-le"), {"encoding": "utf-16-le"}),
    "Windows line ends": (PLAIN.replace("\n", "\r\n").encode(), {}),
    "quotes": (quoted(PLAIN).encode(), {}),
    "spaces around cells": (PLAIN.replace(",", " , ").encode(), {}),
    "semicolons": (PLAIN.replace(",", ";").encode(), {"separator": ";"}),
    "tabs": (PLAIN.replace(",", "\t").encode(), {"separator": "\t"}),
    "tabs, as a shell writes them": (PLAIN.replace(",", "\t").encode(), {"separator": "\\t"}),
    "decimal commas": (decimal_comma(PLAIN).encode(), {"separator": ";", "decimal": ","}),
    "no header": (PLAIN.split("\n", 1)[1].encode(), {"header": False}),
}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_table_is_the_same_in_any_format(kind: str, tmp_path: Path) -> None:
    content, options = FORMATS[kind]
    for name in ("plain", "other"):
        (tmp_path / name).mkdir()
    expected, actual = load(tmp_path / "plain", {"a": PLAIN}), load(tmp_path / "other", {"a": content}, **options)
    assert np.array_equal(inputs(actual), inputs(expected)) and counts(actual) == {"no": 8, "yes": 8}


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_a_table_of_one_column_is_refused_with_the_separator_that_it_has(separator: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 2 columns and 1 row are needed") as raised:
        load(tmp_path, {"a": PLAIN.replace(",", separator)})
    assert f"""write 'data.separator="{separator}"'""".replace("\t", "\\t") in str(raised.value)


def test_words_of_another_encoding_are_read_with_it_and_refused_without(tmp_path: Path) -> None:
    content = table(["krank", "gesünd"] * 8).encode("latin-1")
    with pytest.raises(
        InputError, match="a.csv cannot be read with data.encoding=utf-8; write .*data.encoding=latin-1"
    ):
        load(tmp_path, {"a": content})
    assert counts(load(tmp_path, {}, encoding="latin-1")) == {"gesünd": 8, "krank": 8}
    with pytest.raises(InputError, match="data.encoding=mine is no encoding"):
        load(tmp_path, {}, encoding="mine")


def test_marks_of_thousands_are_left_out_of_numbers(tmp_path: Path) -> None:
    numbers = [1000, 12, 1234567, 999, 1000000, 5, 20000, 1] * 2
    for folder, form in (("plain", "{}"), ("marked", '"{:,}"')):
        (tmp_path / folder).mkdir()
        content = table(TARGETS, lambda row, form=form: f"{form.format(numbers[row])},{row * 5 % 13}")  # type: ignore[misc]
        (tmp_path / folder / "a.csv").write_text(content)
    expected, actual = load(tmp_path / "plain", {}), load(tmp_path / "marked", {}, thousands=",")
    assert np.array_equal(inputs(actual), inputs(expected))


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        ('"1,5"', {}, "row 2 has '1,5' in column a, .* or write 'data.decimal=\",\"'"),
        ("1.5", {"decimal": ","}, "row 2 has '1.5' in column a"),
        ('"1,50"', {"thousands": ","}, "row 2 has '1,50' in column a"),
        ('"12,34,567"', {"thousands": ","}, "row 2 has '12,34,567'"),
        ("1_000", {}, "row 2 has '1_000'"),
        ("-nan", {}, "row 2 has '-nan'"),
        ("1e999", {}, "row 2 has '1e999'"),
        ("2020-01-31", {}, "row 2 has '2020-01-31' in column a, .*data.missing, .*data.drop or data.categories"),
        ("true", {}, "row 2 has 'true'"),  # among numbers
        ("N/A", {}, "row 2 has 'N/A'"),
        ("0x10", {}, "row 2 has '0x10'"),
    ],
)
def test_a_cell_that_is_no_number_is_named_with_a_way_out(
    cell: str, options: dict, message: str, tmp_path: Path
) -> None:
    features = lambda row: f"{cell if row == 1 else row},{row * 5 % 13}"  # noqa: E731
    with pytest.raises(InputError, match=message) as raised:
        load(tmp_path, {"a": table(TARGETS, features)}, **options)
    assert "a.csv" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("marks", [{"decimal": ",", "thousands": ","}, {"decimal": ".."}, {"thousands": ""}])
def test_marks_of_numbers_that_cannot_be_are_refused(marks: dict, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data.decimal and data.thousands"):
        load(tmp_path, {"a": PLAIN}, **marks)


@pytest.mark.parametrize(
    ("mark", "cells"),
    [
        (-9, ["-9", "-9.0"]),
        ("-9", ["-9"]),
        ("none", ["none"]),
        (None, ["null", "NULL"]),
        (False, ["false", "False"]),
        (999, ["999", "+999", "9.99e2"]),
    ],
)
def test_a_mark_of_a_missing_value_is_text_or_a_number(mark: object, cells: list[str], tmp_path: Path) -> None:
    content = table(TARGETS, lambda row: f"{cells[row % len(cells)] if row % 3 == 0 else row},{row * 5 % 13}")
    source = load(tmp_path, {"a": content}, missing=[mark], indicators=True)
    x = inputs(source)
    assert ((x[:, 0] == 0) == (x[:, 2] == 1)).all() and x[:, 2].sum() == 6


@pytest.mark.parametrize("words", [("true", "false"), ("True", "False"), ("TRUE", "FALSE")])
def test_true_and_false_are_1_and_0(words: tuple[str, str], tmp_path: Path) -> None:
    for folder, values in (("words", words), ("numbers", ("1", "0"))):
        (tmp_path / folder).mkdir()
        content = table(TARGETS, lambda row, values=values: f"{values[row % 3 == 0]},{row}.5")  # type: ignore[misc]
        (tmp_path / folder / "a.csv").write_text(content)
    assert np.array_equal(inputs(load(tmp_path / "words", {})), inputs(load(tmp_path / "numbers", {})))


def test_columns_in_another_order_are_put_in_the_first_files_order(tmp_path: Path) -> None:
    rows = list(csv.reader(io.StringIO(PLAIN)))
    turned = "".join(",".join(row[::-1]) + "\n" for row in rows)
    for folder, second in (("same", PLAIN), ("turned", turned)):
        (tmp_path / folder).mkdir()
        for site, content in (("a", PLAIN), ("b", second)):
            (tmp_path / folder / f"{site}.csv").write_text(content)
    assert np.array_equal(inputs(load(tmp_path / "same", {})), inputs(load(tmp_path / "turned", {})))


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        ("a,b,y", "a,c,y", {}, r"lacks b and has c"),
        ("a,b,y", "A,b,y", {}, r"lacks a and has A"),
        ("a,b,y", "b,y", {}, r"lacks a\)"),
        ("a,a,y", "a,y,a", {}, "in another order"),
        ("1,2,0", "1,0", {"header": False}, r"lacks 2\)"),
    ],
)
def test_sites_with_other_columns_are_refused_by_name(
    first: str, second: str, options: dict, message: str, tmp_path: Path
) -> None:
    files: dict[str, str | bytes] = {
        site: f"{names}\n" + (",".join("1" for _ in names.split(",")) + "\n") * 3
        for site, names in (("a", first), ("b", second))
    }
    with pytest.raises(InputError, match=rf"b.csv has other columns than .*a.csv \(.*{message}"):
        load(tmp_path, files, **options)


def test_the_name_of_several_columns_is_refused_as_an_option(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data.target=a is the name of several columns .*; write a number from 0 to 2"):
        load(tmp_path, {"a": table(TARGETS, names="a,a,y")}, target="a")


def test_a_name_that_is_a_number_is_accepted_as_one(tmp_path: Path) -> None:
    assert counts(load(tmp_path, {"a": table(TARGETS, names="2018,2019,2020")}, target=2020)) == {"no": 8, "yes": 8}


@pytest.mark.parametrize(
    ("content", "options", "logged"),
    [
        (
            PLAIN.split("\n", 1)[1].replace("no", "0").replace("yes", "1"),
            {},
            r"names .* numbers \(0.0, 0, 0, ...\); write data.header=false",
        ),
        (
            table(TARGETS, lambda row: f"{row},{row * 5 % 13}", ",b,y"),
            {},
            r"column without a name counts .*data.drop=\[0\]",
        ),
        (table(TARGETS, lambda row: f"{row * 5 % 13},{row + 1}", "a,id,y"), {}, r"column id counts .*data.drop=\[1\]"),
        (table(TARGETS, names="0,1,2"), {}, ""),  # pandas' names of columns without names
        (table(TARGETS, lambda row: f"{row},{row * 5 % 13}"), {"drop": [0]}, ""),
        (PLAIN, {}, ""),
    ],
)
def test_a_header_and_a_column_that_may_be_none_are_logged(
    content: str, options: dict, logged: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(tmp_path, {"a": content}, **options)
    assert re.search(logged, caplog.text) if logged else caplog.text == ""


def test_a_first_row_of_names_is_pointed_out_without_a_header(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 1 has 'a' in column 0, .* write data.header=true"):
        load(tmp_path, {"a": PLAIN}, header=False)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zip"])
@pytest.mark.parametrize("damage", ["cut off", "changed", "empty", "no archive"])
def test_a_damaged_compressed_table_is_one_sentence(tmp_path: Path, kind: str, damage: str) -> None:
    pd.DataFrame({"a": range(500), "y": ["no", "yes"] * 250}).to_csv(tmp_path / f"site.csv.{kind}", index=False)
    source = csv_sites(f"{tmp_path}/*.csv.{kind}", test_fraction=0.25)
    assert len(source.train) + len(source.test) == 500
    file = tmp_path / f"site.csv.{kind}"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged = {"cut off": content[: len(content) // 2], "empty": b"", "no archive": PLAIN.encode()}
    file.write_bytes(damaged.get(damage, bytes(content)))
    with pytest.raises(InputError, match=f"site.csv.{kind}") as raised:
        csv_sites(f"{tmp_path}/*.csv.{kind}", test_fraction=0.25)
    assert "\n" not in str(raised.value)


def test_words_of_the_command_line_are_meant_as_text_under_any_locale(tmp_path: Path) -> None:
    """Under LC_ALL=C the arguments of a command come with surrogates in place of the bytes of UTF-8."""

    def argument(text: str) -> str:
        return text.encode().decode("ascii", "surrogateescape")

    content = table(["nein", "ja, für später"] * 8).replace(",ja, für später", ',"ja, für später"')
    content = content.replace("\n", "\n1,ß,nein\n", 1).replace("a,b,y", "a,b,größe")
    classes = [argument("ja, für später"), "nein"]
    source = load(tmp_path, {"a": content}, classes=classes, missing=[argument("ß")], target=argument("größe"))
    assert source.label_names == ["ja, für später", "nein"] and counts(source)["nein"] in (8, 9)
