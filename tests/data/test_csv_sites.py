"""Tables of several sites."""

from __future__ import annotations

import csv
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest

from fedlit.data.csv_sites import csv_sites
from fedlit.errors import InputError

RNG = np.random.default_rng(3)


@pytest.fixture
def wards(tmp_path: Path) -> Path:
    """Two wards, 40 and 20 rows: age, weight (often missing), an identifier, and who is ill."""
    for name, n, age in (("north", 40, 60), ("south", 20, 30)):
        with (tmp_path / f"ward_{name}.csv").open("w") as file:
            file.write("age, weight,id,ill\n")
            for i in range(n):
                weight = "?" if i % 3 == 0 else "" if i % 7 == 1 else f"{RNG.normal(70, 9):.2f}"
                file.write(f"{RNG.normal(age, 5):.2f},{weight},{name}{i},{('no', 'yes')[i % 4 == 0]}\n")
    return tmp_path


def by_hand(folder: Path) -> dict[str, list[dict[str, str]]]:
    """The rows by the csv module."""
    rows = {}
    for name in ("north", "south"):
        with (folder / f"ward_{name}.csv").open() as file:
            rows[name] = list(csv.DictReader(file, skipinitialspace=True))
    return rows


def load(folder: Path, **options: object):
    return csv_sites(**{"path": f"{folder}/ward_*.csv", "target": "ill", "drop": ["id"], **options})


def test_the_test_set_has_its_share_of_each_class_at_each_site(wards: Path) -> None:
    source = load(wards)
    assert source.label_names == ["no", "yes"] and source.classes == 2
    assert source.input_shape == (2,)
    for site, (no, yes) in enumerate(((30, 10), (15, 5))):
        test = source.test.labels()[source.test_sites == site]
        train = source.train.labels()[source.train_sites == site]
        assert np.bincount(test).tolist() == [round(no * 0.2), round(yes * 0.2)]
        assert np.bincount(train).tolist() == [no - round(no * 0.2), yes - round(yes * 0.2)]


def test_features_are_standardised_by_the_training_rows_and_missing_values_are_the_mean(wards: Path) -> None:
    source = load(wards)
    train, test = source.train.tensors[0].numpy().astype(float), source.test.tensors[0].numpy().astype(float)
    rows = [row for ward in by_hand(wards).values() for row in ward]
    ages = sorted(float(row["age"]) for row in rows)
    np.testing.assert_allclose([train[:, 0].mean(), train[:, 0].std()], [0, 1], atol=1e-5)
    # one line takes all standardised ages back to the ages, and its two numbers are the training rows' statistics
    both = np.sort(np.concatenate([train[:, 0], test[:, 0]]))
    slope, offset = np.polyfit(both, ages, 1)
    np.testing.assert_allclose(both * slope + offset, ages, atol=1e-3)
    absent = sum(row["weight"] in ("?", "") for row in rows)
    weights = np.concatenate([train[:, 1], test[:, 1]])
    assert (weights == 0).sum() == absent
    present = train[train[:, 1] != 0, 1]
    np.testing.assert_allclose([present.mean(), present.std()], [0, 1], atol=1e-5)


def test_indicators_mark_missing_values(wards: Path) -> None:
    source = load(wards, indicators=True)
    assert source.input_shape == (3,)  # age has no missing value
    for samples in (source.train, source.test):
        x = samples.tensors[0]
        assert ((x[:, 1] == 0) == (x[:, 2] == 1)).all() and set(x[:, 2].tolist()) == {0, 1}


def test_the_test_rows_of_a_site_are_the_same_in_every_call_and_for_any_other_sites(wards: Path) -> None:
    both, again, south = load(wards), load(wards), load(wards, sites=["south"])
    assert np.array_equal(both.test.tensors[0], again.test.tensors[0])
    alone, among = south.test.tensors[0][:, 0].numpy(), both.test.tensors[0][both.test_sites == 1][:, 0].numpy()
    assert np.corrcoef(alone, among)[0, 1] > 0.9999  # another standardisation, the same rows


@pytest.mark.parametrize(
    ("cells", "options", "targets", "classes", "names"),
    [
        ("0 2 2 0", {}, [0, 1, 1, 0], 2, ["0", "2"]),
        ("0 3 1 0", {"target_above": 0}, [0, 1, 1, 0], 2, ["at most 0", "above 0"]),
        ("b a b b", {}, [1, 0, 1, 1], 2, ["a", "b"]),
        ("0.5 1 2 0.5", {}, [0.5, 1, 2, 0.5], None, None),
    ],
)
def test_targets_are_classes_or_numbers(
    tmp_path: Path, cells: str, options: dict, targets: list[float], classes: int | None, names: list[str] | None
) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{i};{cell}\n" for i, cell in enumerate(cells.split())))
    source = csv_sites(f"{tmp_path}/*.txt", header=False, separator=";", test_fraction=0.5, **options)
    order = np.concatenate([source.train.tensors[0][:, 0], source.test.tensors[0][:, 0]]).argsort()
    actual = np.concatenate([source.train.tensors[1], source.test.tensors[1]])[order]
    assert actual.tolist() == targets and source.classes == classes and source.label_names == names


def test_rows_without_a_target_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.csv").write_text("x,y\n" + "1,0\n2,?\n3,1\n4,NaN\n5,0\n6,1\n")
    with caplog.at_level(logging.WARNING):
        source = csv_sites(f"{tmp_path}/*.csv", test_fraction=0.5)
    assert len(source.train) + len(source.test) == 4 and "2 rows without a target" in caplog.text


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("x,y\n1,0\n2\n", {}, "cannot be read as a table with data.separator=',': row 3 has fewer cells"),
        ("x,y\n1,0,5\n", {}, "cannot be read as a table"),
        ("x,y\n1,0\n", {"separator": ";;"}, "a separator is one character"),
        ("", {}, "0 rows"),
        ("x,y\n", {}, "0 rows"),
        ("x;y\n1;0\n", {}, "has 1 column and"),
        ("x,y\n1,0\nold,1\n", {}, "row 2 has 'old' in column x"),
        ("x,y\n1,0\ninf,1\n", {}, "row 2 has 'inf' in column x"),
        ("x,y\n1,0\n", {"target": "z"}, "data.target=z is no column"),
        ("x,y\n1,0\n", {"target": 2}, "write a number from 0 to 1 or one of x, y"),
        ("x,y\n1,0\n", {"drop": ["q"]}, "data.drop=q"),
        ("x,y\n1,a\n2,b\n", {"target_above": 0}, "data.target_above=null"),
        ("x,y\n1,0\n", {}, "leaves 1 for training and 0 for the test"),
        ("x,y\n1,?\n", {}, "no row with a target"),
    ],
)
def test_wrong_files_and_options_are_refused(tmp_path: Path, content: str, options: dict, message: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        csv_sites(f"{tmp_path}/*.csv", **options)


def test_quotes_blank_lines_and_repeated_names_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('x,x,y\n"1",8," a"\n\n3,6,"a,""b"""\n 5 ,4,a\n7,2,"a,""b"""\n')
    source = csv_sites(f"{tmp_path}/*.csv", test_fraction=0.5)
    assert source.label_names == ["a", 'a,"b"'] and source.input_shape == (2,)
    x = np.concatenate([source.train.tensors[0], source.test.tensors[0]])
    np.testing.assert_allclose(x[:, 0], -x[:, 1], atol=1e-6)


def test_a_feature_that_is_constant_or_missing_in_training_becomes_0(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("".join(f"0.1,?,{i},{i % 2}\n" for i in range(20)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = csv_sites(f"{tmp_path}/*.csv", header=False, indicators=True)
    for samples in (source.train, source.test):
        x = samples.tensors[0].numpy()
        assert np.abs(x[:, :2]).max() < 1e-12 and (x[:, 2] != 0).any() and (x[:, 3] == 1).all()


def test_sites_with_other_columns_are_refused(wards: Path) -> None:
    (wards / "ward_west.csv").write_text("age,ill\n3,no\n")
    with pytest.raises(InputError, match=r"ward_west.csv has other columns than .*ward_north.csv"):
        load(wards)


def test_missing_files_are_named_with_the_command_that_downloads_them(tmp_path: Path) -> None:
    (tmp_path / "ward_a.csv").write_text("x,y\n1,0\n")
    with pytest.raises(InputError) as raised:
        csv_sites(
            "ward_*.csv", sites=["a", "b", "c"], root=tmp_path, download_from="https://example.org/wards/ward_*.csv"
        )
    message = str(raised.value)
    assert f"{tmp_path}/ward_b.csv, {tmp_path}/ward_c.csv" in message and "ward_a" not in message
    assert message.endswith(
        f"curl --create-dirs -o '{tmp_path}/ward_#1.csv' 'https://example.org/wards/ward_{{b,c}}.csv'"
    )


@pytest.mark.parametrize("path", [None, "wards/a.csv", "*/a.csv", "wards/*_*.csv"])
def test_a_path_without_a_star_in_the_file_name_is_refused(path: str | None) -> None:
    with pytest.raises(InputError, match="data.path='<folder>/\\*.csv'"):
        csv_sites(path)


def test_a_pattern_that_matches_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        csv_sites("*.csv", root=tmp_path)
