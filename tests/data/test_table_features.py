"""Numbers and categories of tables as features, against the rows read by hand."""

from __future__ import annotations

import csv
from collections.abc import Callable
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from fedlit.data import DataSource
from fedlit.errors import InputError
from tests.data.tables import load, table

TARGETS = [0, 1] * 8


def inputs(source: DataSource) -> np.ndarray:
    return np.concatenate([source.train.tensors[0], source.test.tensors[0]])  # type: ignore[attr-defined]


NUMBERS: dict[str, Callable[[int], int | float]] = {
    "seconds": lambda row: 1_700_000_000 + row * 5 % 13,
    "thousandths of seconds": lambda row: 1_700_000_000 + (row * 5 % 13) / 1000,
    "nanoseconds, each second": lambda row: (1_700_000_000 + row * 5 % 13) * 10**9,
    "negative": lambda row: -(10**14) - row * 5 % 13,
    "near 0": lambda row: row * 5 % 13 - 6,
    "large": lambda row: 10.0**100 * (row * 5 % 13),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_are_standardised_in_64_bits_by_the_training_rows(kind: str, tmp_path: Path) -> None:
    number = NUMBERS[kind]
    source = load(tmp_path, {"a": table(TARGETS, lambda row: f"{number(row)!r},{row / 100!r}")})
    rank = inputs(source)[:, 1].argsort().argsort()  # of the second column, which grows from row to row
    rows = {"train": rank[: len(source.train)], "test": rank[len(source.train) :]}
    values = {part: [number(int(row)) - number(0) for row in rows[part]] for part in rows}
    mean = sum(values["train"]) / len(values["train"])
    deviation = sqrt(sum((v - mean) ** 2 for v in values["train"]) / len(values["train"]))
    for part in ("train", "test"):
        expected = [(v - mean) / deviation for v in values[part]]
        np.testing.assert_allclose(getattr(source, part).tensors[0][:, 0], expected, rtol=1e-5, atol=1e-6)


def test_many_rows_far_from_0_are_not_taken_for_a_constant(tmp_path: Path) -> None:
    source = load(
        tmp_path, {"a": table([0, 1] * 30_000, lambda row: f"{1_700_000_000 + row * 7919 % 1000 / 1e5},{row * 5 % 13}")}
    )
    np.testing.assert_allclose(inputs(source)[:, 0].std(), 1, atol=0.02)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (lambda row: f"{row * 5 % 13}e200,1", "numbers in column a are too large"),
        (lambda row: f"{2**60 + row % 5},1", "whole numbers in column a need more than 53 bits"),
    ],
)
def test_numbers_that_are_too_large_are_refused(features: Callable[[int], str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        load(tmp_path, {"a": table(TARGETS, features)})


def by_hand(folder: Path, is_train: Callable[[int], bool], indicators: bool) -> list[list[float]]:
    """The features of column `kind` (a word, or ? where missing), row after row of the sites in order."""
    rows = [row for file in sorted(folder.glob("*.csv")) for row in csv.DictReader(file.open())]
    seen = sorted({row["kind"] for number, row in enumerate(rows) if is_train(number)})
    kept = [word for word in seen if word != "?" or indicators]  # "?" is before letters
    return [[float(row["kind"] == word) for word in kept] for row in rows]


@pytest.mark.parametrize("indicators", [False, True])
@pytest.mark.parametrize("words", [["b", "a", "c"], ["b", "?", "a"], ["x"], ["3", "1", "2"]])
def test_a_category_is_a_1_among_the_categories_of_all_sites(
    words: list[str], indicators: bool, tmp_path: Path
) -> None:
    for site, shift in (("m", 0), ("n", 1)):
        content = table(
            TARGETS,
            lambda row, shift=shift: f"{words[(row * 3 + row // 3 + shift) % len(words)]},{row + 100 * shift}",
            "kind,place,y",
        )  # type: ignore[misc]
        (tmp_path / f"{site}.csv").write_text(content)
    source = load(tmp_path, {}, categories=["kind"], indicators=indicators)
    order = inputs(source)[:, 0].argsort()  # `place` grows from row to row and from site to site
    is_train = order < len(source.train)
    expected = by_hand(tmp_path, lambda number: bool(is_train[number]), indicators)
    assert inputs(source)[order, 1:].tolist() == expected


def test_numbers_of_one_value_are_one_category(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "m": table(TARGETS, lambda row: f"{row % 2},{row}.5"),
        "n": table(TARGETS, lambda row: f"{row % 2}.0,{row}.5"),
    }
    assert load(tmp_path, files, categories=[0]).input_shape == (3,)


def test_a_category_of_test_rows_alone_is_all_0_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = load(tmp_path, {"a": table(TARGETS, lambda row: f"word{row},{row * 5 % 13}")}, categories=["a"])
    assert (source.train.tensors[0][:, 1:].sum(1) == 1).all()  # type: ignore[attr-defined]
    assert (source.test.tensors[0][:, 1:] == 0).all()  # type: ignore[attr-defined]
    assert "column a has categories in test rows alone" in caplog.text


def test_categories_in_different_spellings_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files: dict[str, str | bytes] = {
        site: table(TARGETS, lambda row, words=words: f"{words[row % 2]},{row}.5")  # type: ignore[misc]
        for site, words in (("m", ("Gov", "Private")), ("n", ("gov", "Private")))
    }
    load(tmp_path, files, categories=["a"])
    assert "the categories Gov, gov of column a are different ones" in caplog.text


@pytest.mark.parametrize("indicators", [False, True])
def test_categories_alone_or_without_any_value_are_features(indicators: bool, tmp_path: Path) -> None:
    words = table(TARGETS, lambda row: f"?,{'ab'[row % 3 == 0]}")
    assert load(tmp_path, {"a": words}, categories=["a", "b"], indicators=indicators).input_shape == (2 + indicators,)


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        (lambda row: f"w{row % 3},1", {}, "row 1 has 'w0' in column a, .* data.categories"),
        (lambda row: f"w{row % 3},1", {"categories": ["q"]}, "data.categories=q is no column"),
        (lambda row: f"{row},1", {"drop": ["a", "b"]}, "has no column left that predicts"),
    ],
)
def test_words_without_the_option_and_wrong_columns_are_refused(
    features: Callable[[int], str], options: dict, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        load(tmp_path, {"a": table(TARGETS, features)}, **options)


def test_a_column_of_too_many_categories_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="column a has 1500 categories, and at most 1000 are possible"):
        load(tmp_path, {"a": table([0, 1] * 1000, lambda row: f"w{row},1")}, categories=["a"])
