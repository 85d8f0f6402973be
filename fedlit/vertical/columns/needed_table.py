"""The columns of a run's data, or why it has none."""

from __future__ import annotations

from fedlit.data import ColumnTable, DataSource
from fedlit.errors import InputError


def table_of(data: DataSource, protocol: str) -> ColumnTable:
    """The named columns of a data source.

    Args:
        data: of `data=`.
        protocol: the option of `protocol=`, for the message.

    Raises:
        InputError: the data have no named columns, or a target of more than two classes.
    """
    if data.columns is None:
        raise InputError(
            f"protocol={protocol}: {data.name} has no named columns with a target of two classes or of numbers, which "
            "parties could hold; write data=credit_default, adult, breast_cancer or diabetes, or data=table "
            "data.path=<file>.csv with such a target."
        )
    return data.columns
