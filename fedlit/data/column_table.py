"""People and named columns: what the parties of a vertical run divide among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fedlit.errors import InputError


@dataclass(frozen=True)
class ColumnTable:
    """Columns as they were recorded: nothing is standardised or filled.

    >>> table = ColumnTable(
    ...     "two", ("age", "JOB=clerk"),
    ...     train=np.array([[30.0, 1], [40, 0]]), test=np.array([[50.0, np.nan]]),
    ...     train_ids=np.array(["a", "b"]), test_ids=np.array(["c"]),
    ...     train_target=np.array([0.0, 1]), test_target=np.array([1.0]), task="binary",
    ... )
    >>> table.column("age")
    array([30., 40.])

    Attributes:
        name: of the data set, for messages.
        columns: names of the columns, D of them; a category of the column JOB is `JOB=clerk`.
        train, test: (N, D) and (M, D) float64; NaN where a value is missing.
        train_ids, test_ids: (N,) and (M,) texts that name the people. Both sets may name the same person.
        train_target, test_target: (N,) and (M,) float64: classes 0 and 1, or numbers.
        task: "binary" (two classes) or "regression".
        parties: the usual division among parties, as `columns.parties` of columns=named; None: there is none.

    Raises:
        InputError: a column has no name of its own, sizes differ, a target is missing or does not fit the task, a value
            is infinite, or two rows of a set have one id.
    """

    name: str
    columns: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray
    train_ids: np.ndarray
    test_ids: np.ndarray
    train_target: np.ndarray
    test_target: np.ndarray
    task: Literal["binary", "regression"]
    parties: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        repeated = _repeated(self.columns)
        if repeated is not None:
            raise InputError(f"{self.name} has two columns of the name {repeated!r}; give each a name of its own.")
        for part in ("train", "test"):
            values, ids, target = (getattr(self, f"{part}{end}") for end in ("", "_ids", "_target"))
            rows = len(ids)
            if values.shape != (rows, len(self.columns)) or target.shape != (rows,) or not rows:
                raise InputError(
                    f"{self.name}: {part} is {values.shape}, with {ids.shape} ids and {target.shape} targets; it "
                    f"has to be (N, {len(self.columns)}), with N ids and N targets, and N at least 1."
                )
            if np.isinf(values).any():
                column = self.columns[int(np.isinf(values).any(0).argmax())]
                raise InputError(f"{self.name}: the column {column} holds an infinite number; write NaN in its place.")
            self._check_people(part, ids, target)

    def column(self, name: str) -> np.ndarray:
        """The training values (N,) of a column."""
        return self.train[:, self.columns.index(name)]

    def _check_people(self, part: str, ids: np.ndarray, target: np.ndarray) -> None:
        repeated = _repeated(ids.tolist())
        if repeated is not None:
            raise InputError(
                f"{self.name}: the id {repeated!r} is that of two rows of the {part} data; each person has one row."
            )
        if not np.isfinite(target).all():
            row = int((~np.isfinite(target)).argmax())
            raise InputError(
                f"{self.name}: the {part} row of the person {str(ids[row])!r} has no target; leave such rows out."
            )
        if self.task == "binary" and not np.isin(target, (0, 1)).all():
            wrong = target[~np.isin(target, (0, 1))][0]
            raise InputError(
                f"{self.name}: a {part} target is {wrong:g}, and task=binary has the classes 0 and 1; number them so, "
                "or write task=regression."
            )


def row_ids(rows: int, first: int = 1) -> np.ndarray:
    """Ids of people without one: the numbers of their rows, as texts."""
    return np.arange(first, first + rows).astype(str)


def _repeated(names: Any) -> Any:
    """A name that occurs twice; None if each occurs once."""
    name, count = Counter(names).most_common(1)[0] if len(names) else (None, 0)
    return name if count > 1 else None
