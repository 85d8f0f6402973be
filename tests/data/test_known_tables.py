"""data=adult, credit_default and flamby_heart: small tables in their form, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from fedlit.data import DataSource
from fedlit.data import adult as adult_module
from fedlit.data import credit_default as credit_module
from fedlit.data import flamby_heart as heart_module
from fedlit.data.adult import adult
from fedlit.data.credit_default import credit_default
from fedlit.data.flamby_heart import flamby_heart
from fedlit.errors import InputError
from fedlit.vertical.columns import Named

PERSON = "{age}, {work}, 77516, {school}, 13, Never-married, Sales, Wife, White, Male, 2174, 0, 40, Cuba, {income}"


def inputs(source: DataSource, part: str = "train") -> np.ndarray:
    samples = getattr(source, part)
    return samples.batch(np.arange(len(samples)))[0].numpy()


# --- adult


def write_adult(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        PERSON.format(age=20 + 10 * i, work=work, school=school, income=income)
        for i, (work, school, income) in enumerate(
            [("Private", "11th", "<=50K"), ("?", "Doctorate", ">50K"), ("State-gov", "11th", "<=50K")]
        )
    ]
    (folder / "adult.data").write_text("\n".join(rows) + "\n\n")
    (folder / "adult.test").write_text("|1x3 Cross validator\n" + "".join(row + ".\n" for row in rows[:2]))
    monkeypatch.setattr(adult_module, "_FILES", {"adult.data": (3, 0), "adult.test": (2, 1)})


def test_adult_has_standardised_numbers_then_categories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_adult(tmp_path, monkeypatch)
    source = adult(root=tmp_path)
    x = inputs(source)
    # 6 numbers; workclass 2 (the missing one has none), education 2, and one category in each of the other six columns
    assert x.shape == (3, 6 + 2 + 2 + 6)
    np.testing.assert_allclose(x[:, 0], [-(1.5**0.5), 0, 1.5**0.5], rtol=1e-6)
    np.testing.assert_array_equal(x[:, 6:10], [[1, 0, 1, 0], [0, 0, 0, 1], [0, 1, 1, 0]])
    np.testing.assert_allclose(inputs(source, "test"), x[:2])
    assert source.train.labels().tolist() == [0, 1, 0] and source.test.labels().tolist() == [0, 1]
    assert source.train_sites.tolist() == [0, 1, 0] and source.test_sites.tolist() == [0, 1]


def test_adult_has_raw_columns_in_the_order_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_adult(tmp_path, monkeypatch)
    columns = adult(root=tmp_path).columns
    assert columns is not None and columns.task == "binary"
    assert columns.columns[:6] == (
        "age",
        "workclass=Private",
        "workclass=State-gov",
        "fnlwgt",
        "education=11th",
        "education=Doctorate",
    )
    assert columns.column("age").tolist() == [20, 30, 40]
    np.testing.assert_array_equal(columns.column("workclass=Private"), [1, np.nan, 0])  # ?
    np.testing.assert_array_equal(columns.column("education=Doctorate"), [0, 1, 0])
    assert columns.train_ids.tolist() == ["1", "2", "3"] and columns.test_ids.tolist() == ["4", "5"]
    assert columns.train_target.tolist() == [0, 1, 0] and columns.test.shape == (2, 16)
    shares = Named().share(columns, 0)
    assert {"workclass=Private", "occupation=Sales", "capital-loss"} < set(shares["host"])


def test_adult_refuses_other_counts_and_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_adult(tmp_path, monkeypatch)
    written = (tmp_path / "adult.data").read_text()
    for text, message in {
        written + written: "has 6 rows, and 3 are expected; get it by: curl",
        written.replace(", Cuba", ""): "has 14 columns, and 15 are expected",
        written.replace("20, Private", "young, Private"): "'young' in row 1, column age, is no number",
        written.replace(">50K", "much"): "the income 'much' is neither <=50K nor >50K",
    }.items():
        (tmp_path / "adult.data").write_text(text)
        with pytest.raises(InputError, match=message):
            adult(root=tmp_path)


def test_adult_expects_the_published_counts(tmp_path: Path) -> None:
    row = PERSON.format(age=20, work="Private", school="11th", income="<=50K")
    (tmp_path / "adult.data").write_text(f"{row}\n{row}\n")
    with pytest.raises(InputError, match="adult.data has 2 rows, and 32,561 are expected"):
        adult(root=tmp_path)


# --- credit_default

NAMES = ["ID", "LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE", "PAY_0", *(f"PAY_{i}" for i in range(2, 7))]
NAMES += [f"{kind}_AMT{i}" for kind in ("BILL", "PAY") for i in range(1, 7)]
FIRST_LINES = {
    "credit_default.csv": ",".join([*NAMES, "default.payment.next.month"]),
    "UCI_Credit_Card.csv": ",".join([f'"{name}"' for name in [*NAMES, "default.payment.next.month"]]),
    "default of credit card clients.csv": ",".join(["", *(f"X{i}" for i in range(1, 24)), "Y"])
    + "\n"
    + ",".join([*NAMES, "default payment next month"]),
}


def write_credit(file: Path, rows: int, sexes: int = 2) -> None:
    lines = [",".join(map(str, [i + 1, 1000 * i, 1 + i % sexes, 1, 2, *([i] * 19), i % 4 // 3])) for i in range(rows)]
    file.write_text("\n".join([FIRST_LINES[file.name], *lines]) + "\n")


@pytest.mark.parametrize("name", FIRST_LINES)
def test_credit_default_reads_each_published_form(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credit_module, "_ROWS", 40)
    write_credit(tmp_path / name, 40)
    source = credit_default(root=tmp_path)
    assert (len(source.train), len(source.test), source.classes) == (32, 8, 2)
    assert (source.train.labels().sum(), source.test.labels().sum()) == (8, 2)
    x = inputs(source)
    assert x.shape == (32, 20 + 2 + 1 + 1)  # 20 numbers without the ID, then sex, education and marriage
    np.testing.assert_allclose(x[:, :20].mean(0), 0, atol=1e-6)
    np.testing.assert_array_equal(x[:, 20:22].sum(1), 1)


def test_credit_default_has_23_raw_columns_of_which_the_host_has_the_payments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credit_module, "_ROWS", 40)
    write_credit(tmp_path / "credit_default.csv", 40)
    columns = credit_default(root=tmp_path, test_fraction=1 / 4).columns
    assert columns is not None and columns.columns == tuple(NAMES[1:])
    for part in ("train", "test"):
        values, ids, target = (getattr(columns, f"{part}{end}") for end in ("", "_ids", "_target"))
        for row, person, label in zip(values.tolist(), ids.tolist(), target.tolist(), strict=True):
            i = int(person) - 1
            assert row == [1000 * i, 1 + i % 2, 1, 2, *([i] * 19)] and label == i % 4 // 3
    assert len(columns.test) == 10 and len({*columns.train_ids, *columns.test_ids}) == 40
    shares = Named().share(columns, 0)
    assert shares["host"] == ("PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6") and len(shares["guest"]) == 17


def test_credit_default_refuses_other_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "credit_default.csv"
    write_credit(file, 4)
    with pytest.raises(InputError, match="has 4 rows, and 30,000 are expected"):
        credit_default(root=tmp_path)
    file.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="does not begin with the names ID, LIMIT_BAL, SEX"):
        credit_default(root=tmp_path)
    file.write_text("")
    with pytest.raises(InputError, match="credit_default.csv cannot be read"):
        credit_default(root=tmp_path)
    (tmp_path / "a.xls").write_bytes(b"\xd0\xcf")
    with pytest.raises(InputError, match="is an Excel table, which is not read; save it as CSV"):
        credit_default(path=tmp_path / "a.xls")
    monkeypatch.setattr(credit_module, "_ROWS", 4)
    write_credit(file, 4)
    file.write_text(file.read_text().replace(",1\n", ",2\n"))
    with pytest.raises(InputError, match="the last column is not 0 or 1"):
        credit_default(root=tmp_path)


# --- flamby_heart


def write_hearts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[Any]]]:
    """Twelve patients of each hospital; returns the rows that have all values."""
    rng = np.random.default_rng(3)
    written = {}
    for name in heart_module.HOSPITALS:
        lines: list[list[Any]] = []
        for i in range(12):
            first, last = rng.integers(30, 200, 6).tolist(), rng.integers(0, 9, 3).tolist()
            lines.append([*first[:2], 1 + i % 4, *first[2:5], i % 3, *last, "?", "?", 7, i % 2 * (1 + i % 4)])
        if name == "va":
            lines[4][3] = "?"  # this row is left out, the ones without a slope are not
            for number, line in enumerate(lines):
                line[13] = int(number == 0)  # one patient is sick, too few to divide by class
        (folder / f"processed.{name}.data").write_text("\n".join(",".join(map(str, line)) for line in lines) + "\n")
        written[name] = [line for line in lines if line[3] != "?"]
    monkeypatch.setattr(heart_module, "HOSPITALS", dict.fromkeys(heart_module.HOSPITALS, 12))
    return written


@pytest.mark.parametrize("normalize", ["hospital", "pooled"])
def test_hearts_are_prepared_as_flamby_does_it(normalize: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_hearts(tmp_path, monkeypatch)
    source = flamby_heart(root=tmp_path, normalize=normalize)
    parts: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for name, lines in written.items():
        rows = [
            [*(line[i] for i in (0, 1, 3, 4, 5, 7, 8, 9)), *(line[2] == kind for kind in (2, 3, 4))]
            + [line[6] == kind for kind in (1, 2)]
            for line in lines
        ]
        sick = [int(line[13] > 0) for line in lines]
        drawn = train_test_split(
            list(range(len(rows))),
            test_size=1 - 0.66,
            train_size=0.66,
            random_state=43,
            stratify=None if name == "va" else sick,
        )
        for part, numbers in zip(("train", "test"), map(sorted, drawn), strict=True):
            parts[part].append(np.array([rows[i] for i in numbers], dtype=np.float64))
            labels[part] += [sick[i] for i in numbers]
    pooled = np.concatenate(parts["train"])
    for part in ("train", "test"):
        expected = []
        for number, rows_of_hospital in enumerate(parts[part]):
            known = parts["train"][number] if normalize == "hospital" else pooled
            expected.append((rows_of_hospital - known.mean(0)) / (known.std(0, ddof=1) + 1e-9))
        np.testing.assert_allclose(inputs(source, part), np.concatenate(expected), rtol=1e-4, atol=1e-5)
        assert getattr(source, part).labels().tolist() == labels[part]
        sizes = [len(rows_of_hospital) for rows_of_hospital in parts[part]]
        assert np.bincount(getattr(source, f"{part}_sites")).tolist() == sizes
    assert (source.classes, source.input_shape) == (2, (13,))


def test_test_rows_of_hearts_can_be_normalised_in_another_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_hearts(tmp_path, monkeypatch)
    hospital, pooled = (flamby_heart(root=tmp_path, normalize=whose) for whose in ("hospital", "pooled"))
    both = flamby_heart(root=tmp_path, normalize="hospital", normalize_test="pooled")
    np.testing.assert_array_equal(inputs(both), inputs(hospital))
    np.testing.assert_array_equal(inputs(both, "test"), inputs(pooled, "test"))
    assert not np.array_equal(inputs(pooled, "test"), inputs(hospital, "test"))


def test_hearts_refuse_another_number_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        write_hearts(tmp_path, patch)
    with pytest.raises(InputError, match="processed.cleveland.data has 12 rows, and 303 are expected; get it again"):
        flamby_heart(root=tmp_path)
