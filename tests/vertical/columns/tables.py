"""Small tables of people for tests of the division of columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from fedlit.data import ColumnTable


def table_with(columns: Sequence[str], rows: int = 60, test_rows: int = 20, **fields: object) -> ColumnTable:
    """Random columns with these names, and a target of two classes."""
    rng = np.random.default_rng(5)
    fields = {
        "train": rng.normal(size=(rows, len(columns))),
        "test": rng.normal(size=(test_rows, len(columns))),
        "train_target": np.arange(rows) % 2.0,
        "test_target": np.arange(test_rows) % 2.0,
        **fields,
    }
    task: Literal["binary", "regression"] = fields.pop("task", "binary")  # type: ignore[assignment]
    train_ids = np.array([f"a{row}" for row in range(rows)])
    test_ids = np.array([f"b{row}" for row in range(test_rows)])
    return ColumnTable(
        name="small",
        columns=tuple(columns),
        train_ids=train_ids,
        test_ids=test_ids,
        task=task,
        **fields,  # type: ignore[arg-type]
    )
