"""data=table: a user's file as named columns, against the csv module, and what is refused."""

from __future__ import annotations

import csv
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedlit.data import DataSource
from fedlit.data.table_file import table
from fedlit.errors import InputError

JOBS = ("clerk", "nurse", "?", "clerk", "driver")


def write(folder: Path, rows: int = 40, separator: str = ",") -> Path:
    """People with an id, an age that a few lack, a job, a code and a bool target."""
    file = folder / "people.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out, delimiter=separator)
        writer.writerow(["who", "age", "JOB", "zone", "bought"])
        for row in range(rows):
            age = "" if row % 9 == 4 else 20 + row * 7 % 50 + 0.1
            writer.writerow([f"p{row:03d}", age, JOBS[row % 5], row % 3 + 1, ("no", "yes")[row * 5 % 7 % 2]])
    return file


def by_id(source: DataSource) -> dict[str, dict[str, float]]:
    """Each person's columns and target, from both sets."""
    columns = source.columns
    assert columns is not None
    people = {}
    for part in ("train", "test"):
        values, ids, target = (getattr(columns, f"{part}{end}") for end in ("", "_ids", "_target"))
        for person, row, label in zip(ids.tolist(), values.tolist(), target.tolist(), strict=True):
            assert person not in people
            people[person] = {**dict(zip(columns.columns, row, strict=True)), "target": label}
    return people


def read(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def test_columns_are_raw_and_categories_are_columns_of_0_and_1(tmp_path: Path) -> None:
    file = write(tmp_path)
    source = table(str(file), target="bought", id="who", categories=["JOB"], test_fraction=0.25)
    assert source.columns is not None and source.columns.task == "binary" and source.name == "people"
    assert source.columns.columns == ("age", "JOB=clerk", "JOB=driver", "JOB=nurse", "zone")  # in the file's order
    people = by_id(source)
    written = read(file)
    assert set(people) == {row["who"] for row in written}
    for row in written:
        person = people[row["who"]]
        age = float(row["age"]) if row["age"] else math.nan
        np.testing.assert_equal(person["age"], age)  # the same bits, NaN for a missing value
        assert person["zone"] == float(row["zone"]) and person["target"] == float(row["bought"] == "yes")
        for job in ("clerk", "driver", "nurse"):
            expected = math.nan if row["JOB"] == "?" else float(row["JOB"] == job)
            np.testing.assert_equal(person[f"JOB={job}"], expected)


def test_clients_train_on_the_same_people_standardised(tmp_path: Path) -> None:
    source = table(str(write(tmp_path)), target="bought", id="who", categories=["JOB"], test_fraction=0.25)
    assert source.columns is not None and source.classes == 2 and source.label_names == ["no", "yes"]
    x, y = source.train.batch(np.arange(len(source.train)))
    assert len(source.train) == len(source.columns.train) and len(source.test) == len(source.columns.test)
    np.testing.assert_array_equal(y.numpy(), source.columns.train_target)
    age = source.columns.column("age")
    expected = np.nan_to_num((age - np.nanmean(age)) / np.nanstd(age))
    np.testing.assert_allclose(x[:, 0].numpy(), expected, rtol=1e-5)
    assert source.input_shape == (5,) and x.isfinite().all()


def test_the_test_set_has_its_share_of_each_class(tmp_path: Path) -> None:
    file = write(tmp_path)
    source = table(str(file), target="bought", id="who", categories=["JOB"], test_fraction=0.25)
    assert source.columns is not None
    yes = sum(row["bought"] == "yes" for row in read(file))
    assert source.columns.test_target.sum() == round(yes * 0.25)
    assert len(source.columns.test) == round(yes * 0.25) + round((40 - yes) * 0.25)


def test_people_without_ids_are_numbered_by_their_rows(tmp_path: Path) -> None:
    source = table(str(write(tmp_path)), target="zone", drop=["who", "bought", "JOB"], target_above=1)
    assert source.columns is not None and source.columns.columns == ("age",)
    people = by_id(source)
    assert sorted(map(int, people)) == list(range(1, 41))
    assert people["2"]["age"] == 27.1 and people["1"]["target"] == 0 and people["3"]["target"] == 1


def test_numbers_are_a_regression_in_64_bits(tmp_path: Path) -> None:
    source = table(str(write(tmp_path)), target="age", id=0, categories=["JOB", "bought"])
    assert source.columns is not None and source.columns.task == "regression" and source.classes is None
    people = by_id(source)
    assert people["p001"]["target"] == 27.1  # which 32 bits do not hold
    assert "p004" not in people  # no target
    assert source.columns.columns[-2:] == ("bought=no", "bought=yes")


def test_more_than_two_classes_are_for_clients_alone(tmp_path: Path) -> None:
    source = table(str(write(tmp_path)), target="zone", id="who", categories=["JOB", "bought"])
    assert source.classes == 3 and source.columns is None


def test_the_order_of_classes_decides_which_one_is_1(tmp_path: Path) -> None:
    file = write(tmp_path)
    people = by_id(table(str(file), target="bought", id="who", categories=["JOB"], classes=["yes", "no"]))
    assert all(people[row["who"]]["target"] == float(row["bought"] == "no") for row in read(file))


def test_another_form_is_read_to_the_same_numbers(tmp_path: Path) -> None:
    expected = by_id(table(str(write(tmp_path)), target="bought", id="who", categories=["JOB"]))
    file = tmp_path / "people.csv"
    lines = [line.replace(",", ";").replace(".", ",") for line in file.read_text().splitlines()[1:]]
    file.write_text("\n".join(lines) + "\n", encoding="utf-16")
    other = by_id(table("people.csv", root=tmp_path, id=0, categories=[2], header=False, separator=";", decimal=","))
    renamed = {"1": "age", "2=clerk": "JOB=clerk", "2=driver": "JOB=driver", "2=nurse": "JOB=nurse", "3": "zone"}
    renamed["target"] = "target"
    assert repr({who: {renamed[k]: v for k, v in row.items()} for who, row in other.items()}) == repr(expected)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("", {"path": None}, "data=table needs the file to read; write data.path=<file>.csv"),
    ("", {"path": "nowhere.csv"}, "There is no file .*nowhere.csv"),
    ("a,y\n1,0\n2,1\n", {"target": "z"}, "data.target=z is no column of .*write a number from 0 to 1 or one of a, y"),
    ("a,y\n1,\n2,\n", {}, "has no row with a target; write another data.target"),
    ("w,a,y\nx,1,0\nx,2,1\n", {"id": "w"}, "row 2 has the id 'x' of .*row 1; each person has one row"),
    ("w,a,y\nx,1,0\n,2,1\n", {"id": "w"}, "row 2 has no id; write one"),
    ("w,a,y\nx,1,0\ny,2,1\n", {"id": "who"}, "data.id=who is no column of"),
    (
        "w,a,a,y\nx,1,2,0\ny,1,2,1\n",
        {"id": "w"},
        "has more than one column of the name 'a'; give each a name of its own",
    ),
    ("a,y\nred,0\n2,1\n", {}, "row 1 has 'red' in column a, which is no number; .*data.categories"),
    ("a,y\n1,0\n2,0\n3,1\n", {"test_fraction": 0.1}, "data.test_fraction=0.1 of 3 rows leaves 3 for training and 0"),
    (
        "J,J=b,y\na,1,0\nb,2,0\na,3,1\nb,4,1\n",
        {"categories": ["J"], "test_fraction": 0.5},
        "two columns of the name 'J=b'",
    ),
]


@pytest.mark.parametrize(("text", "options", "message"), REFUSED)
def test_a_table_that_cannot_be_divided_is_refused(
    text: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        table(**{"path": "t.csv", "root": tmp_path, **options})


def test_rows_without_a_target_are_left_out_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "t.csv").write_text("w,a,y\n" + "".join(f"{i},{i},{'' if i == 3 else i % 2}\n" for i in range(12)))
    with caplog.at_level(logging.WARNING):
        source = table(str(tmp_path / "t.csv"), id="w")
    assert len(by_id(source)) == 11 and "3" not in by_id(source)
    assert any("1 row without a target is left out" in text for text in caplog.messages)
