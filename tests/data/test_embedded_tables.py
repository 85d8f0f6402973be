"""data=diabetes and breast_cancer, against scikit-learn; ColumnTable refuses what is no table of people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_breast_cancer, load_diabetes

import fedlit
from fedlit.data import ColumnTable, DataSource
from fedlit.data.embedded_tables import breast_cancer, diabetes
from fedlit.errors import InputError

SOURCES = [(diabetes, load_diabetes(scaled=False)), (breast_cancer, load_breast_cancer())]


@pytest.mark.parametrize(("load", "bunch"), SOURCES, ids=["diabetes", "breast_cancer"])
def test_each_row_is_scikit_learns(load: Callable[..., DataSource], bunch: dict[str, np.ndarray]) -> None:
    source = load(test_fraction=0.3)
    columns = source.columns
    assert columns is not None and columns.name == source.name == load.__name__
    rows = [int(person) - 1 for person in (*columns.train_ids, *columns.test_ids)]
    assert sorted(rows) == list(range(len(bunch["target"])))
    np.testing.assert_array_equal(np.concatenate([columns.train, columns.test]), bunch["data"][rows])
    np.testing.assert_array_equal(np.concatenate([columns.train_target, columns.test_target]), bunch["target"][rows])
    assert [name.replace("_", " ") for name in columns.columns] == list(bunch["feature_names"])
    x, y = source.test.batch(np.arange(len(source.test)))
    np.testing.assert_array_equal(y.numpy(), columns.test_target.astype(np.float32))
    expected = (columns.test - columns.train.mean(0)) / columns.train.std(0)
    np.testing.assert_allclose(x.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_tasks_and_sizes() -> None:
    cancer, progression = breast_cancer().columns, diabetes().columns
    assert cancer is not None and progression is not None
    assert (cancer.task, len(cancer.train), len(cancer.test)) == ("binary", 456, 113)  # of 357 benign, 71 in the test
    assert cancer.test_target.sum() == 71
    assert (progression.task, len(progression.train), len(progression.test)) == ("regression", 354, 88)


def test_a_test_share_of_0_trains_and_tests_on_all_people() -> None:
    columns = diabetes(test_fraction=0).columns
    assert columns is not None
    np.testing.assert_array_equal(columns.train, columns.test)
    np.testing.assert_array_equal(columns.train_ids, columns.test_ids)
    assert len(columns.train) == 442


def test_a_share_that_leaves_no_row_is_refused() -> None:
    with pytest.raises(InputError, match=r"data.test_fraction=0.0005 leaves no row"):
        diabetes(test_fraction=0.0005)


TABLE = ColumnTable(
    "small",
    ("a", "b"),
    np.array([[1.0, 2], [np.nan, 4]]),
    np.array([[5.0, 6]]),
    np.array(["x", "y"]),
    np.array(["z"]),
    np.array([0.0, 1]),
    np.array([1.0]),
    "binary",
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"columns": ("a", "a")}, "small has two columns of the name 'a'"),
        ({"columns": ("a",)}, r"train is \(2, 2\), with \(2,\) ids and \(2,\) targets; it has to be \(N, 1\)"),
        ({"train_ids": np.array(["x"])}, r"train is \(2, 2\), with \(1,\) ids"),
        ({"test": np.array([[5.0, np.inf]])}, "the column b holds an infinite number"),
        ({"train_ids": np.array(["x", "x"])}, "the id 'x' is that of two rows of the train data"),
        ({"train_target": np.array([0.0, np.nan])}, "the train row of the person 'y' has no target"),
        ({"test_target": np.array([2.0])}, "a test target is 2, and task=binary has the classes 0 and 1"),
        ({"test": np.empty((0, 2)), "test_ids": np.empty(0, str), "test_target": np.empty(0)}, "N at least 1"),
    ],
)
def test_what_is_no_table_of_people_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(TABLE, **changes)  # type: ignore[arg-type]


def test_a_regression_has_any_finite_target() -> None:
    assert replace(TABLE, task="regression", test_target=np.array([-2.5])).test_target[0] == -2.5


def test_a_person_may_be_in_both_sets() -> None:
    assert replace(TABLE, test_ids=np.array(["x"])).test_ids[0] == "x"


@pytest.mark.parametrize("name", ["diabetes", "breast_cancer"])
def test_the_option_names_the_function(name: str) -> None:
    options = yaml.safe_load((Path(fedlit.__file__).parents[1] / "conf" / "data" / f"{name}.yaml").read_text())
    assert options["_target_"] == f"fedlit.data.embedded_tables.{name}"
