"""Small tables of several sites for tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fedlit.data import DataSource
from fedlit.data.csv_sites import csv_sites


def table(targets: Sequence[object], features: Callable[[int], str] | None = None, names: str = "a,b,y") -> str:
    """The text of a table with a header, two features and the targets in the last column."""
    cells = features or (lambda row: f"{(row * 7) % 11 / 2},{(row * 5) % 13}")
    return f"{names}\n" + "".join(f"{cells(row)},{target}\n" for row, target in enumerate(targets))


def load(folder: Path, files: dict[str, str | bytes], **options: object) -> DataSource:
    """The tables, by the names of their sites, written as they are and read."""
    for site, content in files.items():
        (folder / f"{site}.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return csv_sites(f"{folder}/*.csv", **{"test_fraction": 0.25, **options})  # type: ignore[arg-type]


def counts(source: DataSource) -> dict[str, int]:
    """The number of rows of each class."""
    assert source.label_names is not None
    labels = [*source.train.labels(), *source.test.labels()]  # type: ignore[misc]
    return {name: labels.count(number) for number, name in enumerate(source.label_names)}
