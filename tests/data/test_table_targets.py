"""The target of tables: classes, numbers, and sites that write it in different ways."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from fedlit.errors import InputError
from tests.data.tables import counts, load, table

ZERO_ONE = [0, 1] * 8


@pytest.mark.parametrize("cell", ["inf", "-inf", "Infinity", "1e400", "+INF"])
@pytest.mark.parametrize("options", [{}, {"target_above": 0}, {"task": "regression"}, {"task": "classes"}])
@pytest.mark.parametrize("others", [ZERO_ONE, [0.5, 1.5] * 8])
def test_a_target_that_is_not_finite_is_refused(cell: str, options: dict, others: list, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"b.csv: row 17 has the target '.*', which is not finite; add it to data.missing"
    ):
        load(tmp_path, {"a": table(others), "b": table([*others, cell])}, **options)
    assert len(load(tmp_path, {}, **options, missing=[cell]).train) > 0


def test_a_word_that_looks_like_infinity_is_a_class_among_words(tmp_path: Path) -> None:
    assert counts(load(tmp_path, {"a": table(["inf", "sup"] * 8)})) == {"inf": 8, "sup": 8}


@pytest.mark.parametrize("marks", ["nan", "NaN", "", "?", "NA"])
def test_rows_without_a_target_are_left_out(marks: str, tmp_path: Path) -> None:
    assert counts(load(tmp_path, {"a": table([*ZERO_ONE, marks])})) == {"0": 8, "1": 8}


@pytest.mark.parametrize(
    "other", [["0.0", "1.0"], [" 0", "1 "], ["00", "+1"], ["0e0", "1e0"], ['"0"', '"1"'], ["-0", "1."]]
)
def test_numbers_of_one_value_are_one_class(other: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = load(tmp_path, {"a": table(ZERO_ONE), "b": table(other * 8)})
    assert counts(source) == {"0": 16, "1": 16} and caplog.text == ""


def test_numbers_of_one_value_are_one_class_among_words(tmp_path: Path) -> None:
    assert counts(load(tmp_path, {"a": table(["1", "1.0", "x", "x"] * 4)})) == {"1": 8, "x": 8}


def test_whole_numbers_beyond_53_bits_are_different_classes(tmp_path: Path) -> None:
    assert counts(load(tmp_path, {"a": table([2**53, 2**53 + 1] * 8)})) == {str(2**53): 8, str(2**53 + 1): 8}


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ([0, 1], ["no", "yes"], "a has 0, 1 and b has no, yes"),
        (["no", "yes"], [1, 2], "b has 1, 2 and a has no, yes"),
        (["no", "yes"], ["No", "yes"], "a has no, b has No"),
        (["no", "yes"], ["no", "YES"], "a has yes, b has YES"),
        (["True", "False"], ["true", "false"], "a has False, b has false"),
        (["not ill", "ill"], ["not  ill", "ill"], "a has not ill, b has not  ill"),
        (["not_ill", "ill"], ["not-ill", "ill"], "a has not_ill, b has not-ill"),
        (["<=50K", ">50K"], ["<=50K.", ">50K."], "a has <=50K, b has <=50K."),  # the files of UCI's Adult
    ],
)
def test_sites_that_write_a_class_in_different_ways_are_refused(
    first: list, second: list, shown: str, tmp_path: Path
) -> None:
    files = {"a": table(first * 8), "b": table(second * 8)}
    with pytest.raises(
        InputError, match=f"code the target in different ways: {re.escape(shown)}; .*data.classes="
    ) as raised:
        load(tmp_path, files)
    assert "\n" not in str(raised.value)
    named = load(tmp_path, files, classes=list(dict.fromkeys([*first, *second])))  # the way out
    assert len(counts(named)) == len({*first, *second})


@pytest.mark.parametrize(
    ("sites", "logged"),
    [
        ({"a": [0, 1], "b": [1, 2]}, "a has 0, 1; b has 1, 2; write data.classes=[0,1,2] to confirm"),
        ({"a": ["n", "y"], "b": ["x", "z"]}, "a has n, y; b has x, z"),
        ({"a": [0, 1], "b": [0, 1], "c": [0, 0]}, "a has 0, 1; c has 0"),
    ],
)
def test_sites_with_different_classes_are_logged_until_the_classes_are_named(
    sites: dict[str, list], logged: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files: dict[str, str | bytes] = {name: table(targets * 8) for name, targets in sites.items()}
    source = load(tmp_path, files)
    assert logged in caplog.text
    caplog.clear()
    named = load(tmp_path, {}, classes=source.label_names)
    assert caplog.text == "" and named.label_names == source.label_names
    assert np.array_equal(named.train.labels(), source.train.labels())


def test_many_sites_are_logged_in_a_short_sentence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(tmp_path, {f"site{i:02d}": table([i, i + 1] * 8) for i in range(40)})
    assert "and 35 more; write data.classes=" in caplog.text and len(caplog.text) < 600


@pytest.mark.parametrize(
    ("targets", "logged"),
    [
        (["no", "yes", "Yes", "no"], "the targets Yes, yes are different classes"),
        (["1", "2", "3a", "1"], "numbers and words, such as 3a"),
        ([0, 1, "unknown", 1], "the target unknown is a class; add it to data.missing"),
        (["no", "yes", "N/A", "yes"], "the target N/A is a class; add it to data.missing"),
        (range(30, 60), "the targets are 30 different whole numbers, .* data.task=regression"),
        (["no", "yes"], ""),
        ([0, 1, 2, 3], ""),
        (["A", "A-", "B+", "A"], ""),
    ],
)
def test_classes_that_may_be_a_mistake_are_logged(
    targets: list, logged: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(tmp_path, {"a": table(list(targets) * 4)}, test_fraction=0.5)
    assert re.search(logged, caplog.text) if logged else caplog.text == ""


@pytest.mark.parametrize("targets", [[3, 1, 4, 1], [2**24 + 1, 5, 6, 7], ["1.0", "2", "3e2", "-4"]])
def test_whole_numbers_are_a_regression_on_request(targets: list, tmp_path: Path) -> None:
    source = load(tmp_path, {"a": table(targets * 4)}, task="regression")
    assert source.classes is None and source.label_names is None and source.train.labels() is None
    actual = np.sort(np.concatenate([source.train.tensors[1], source.test.tensors[1]]))
    assert actual.dtype == np.float32 and actual.tolist() == sorted(np.float32(float(t)) for t in targets * 4)


def test_numbers_with_a_fraction_are_classes_on_request(tmp_path: Path) -> None:
    assert counts(load(tmp_path, {"a": table([0.5, 1, 10.25, 1] * 4)}, task="classes")) == {
        "0.5": 4,
        "1": 8,
        "10.25": 4,
    }


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        (["yes", "no"], {"yes": 8, "no": 8}),
        (["no", "maybe", "yes"], {"no": 8, "maybe": 0, "yes": 8}),
    ],
)
def test_named_classes_give_the_order(classes: list[str], expected: dict[str, int], tmp_path: Path) -> None:
    source = load(tmp_path, {"a": table(["no", "yes"] * 8)}, classes=classes)
    assert list(counts(source).items()) == list(expected.items()) and source.classes == len(classes)


@pytest.mark.parametrize("words", [["true", "false"], ["True", "False"], ["TRUE", "FALSE"]])
def test_truth_values_name_the_words_of_the_files(words: list[str], tmp_path: Path) -> None:
    assert load(tmp_path, {"a": table(words * 8)}, classes=[False, True]).label_names == words[::-1]


@pytest.mark.parametrize(
    ("targets", "options", "message"),
    [
        ([0, 1, 2, 1], {"classes": [0, 1]}, "row 3 has the target '2', which is not one of data.classes="),
        ([0, 1], {"classes": [0, 1, "1.0"]}, "names a class twice"),
        (
            [0, 1],
            {"classes": [0, 1], "task": "regression"},
            "data.task=regression has no classes; .* data.classes=null",
        ),
        ([0, 1], {"target_above": 0, "task": "regression"}, "data.task=regression has no .* data.target_above=null"),
        ([0, 1], {"target_above": 0, "classes": [0, 1]}, "write data.classes=null"),
        ([0, 1, "x"], {"task": "regression"}, "row 3 has the target 'x', but data.task=regression needs numbers"),
        ([0.5, 0.7, "x"], {}, "row 3 has the target 'x', but other targets are numbers with a fraction"),
        ([0, "1e300"], {"task": "regression"}, r"1e\+300 is too large for 32 bits"),
    ],
)
def test_targets_that_do_not_fit_the_options_are_refused(
    targets: list, options: dict, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        load(tmp_path, {"a": table(targets * 8)}, **options)


@pytest.mark.parametrize(("step", "is_lost"), [(1, True), (10**6, False)])
def test_targets_that_32_bits_cannot_tell_apart_are_logged(
    step: int, is_lost: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(tmp_path, {"a": table([1_700_000_000 + step * i for i in range(16)])}, task="regression")
    assert ("cannot tell the targets apart" in caplog.text) == is_lost
