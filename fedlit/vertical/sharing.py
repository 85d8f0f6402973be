"""From a table to the data of each party."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from fedlit.data import ColumnTable
from fedlit.errors import InputError
from fedlit.vertical.columns import Columns
from fedlit.vertical.party_data import GUEST, PartyData


def shared_out(table: ColumnTable, columns: Columns, seed: int) -> dict[str, PartyData]:
    """Each party's columns of the people that it knows, the guest first; the guest alone gets the targets.

    Args:
        seed: the run's.

    Raises:
        InputError: as `Columns.share` and `Columns.people`.
    """
    shares = columns.share(table, seed)
    people = columns.people(table, list(shares), seed)
    return {name: _of_party(table, name, shares[name], *people[name]) for name in sorted(shares, key=_guest_first)}


def in_common(data: Mapping[str, PartyData]) -> dict[str, PartyData]:
    """The data of the people that all parties know, in the guest's order.

    Raises:
        InputError: there are none.
    """
    common: dict[str, PartyData] = {}
    for name, part in data.items():
        train = _places(data[GUEST].train_ids, part.train_ids, [other.train_ids for other in data.values()])
        test = _places(data[GUEST].test_ids, part.test_ids, [other.test_ids for other in data.values()])
        for rows, kind in ((train, "training"), (test, "test")):
            if not len(rows):
                raise InputError(
                    f"the parties have no {kind} people in common: no id of the guest's is with all others; write the "
                    "same ids, or a larger columns.overlap."
                )
        common[name] = part.rows(train, test)
    return common


def digests(data: Mapping[str, PartyData]) -> dict[str, str]:
    """Party -> SHA-256 of all that it holds."""
    return {name: _digest(part) for name, part in data.items()}


def _guest_first(name: str) -> bool:
    return name != GUEST


def _of_party(
    table: ColumnTable, name: str, columns: tuple[str, ...], train: np.ndarray, test: np.ndarray
) -> PartyData:
    places = np.array([table.columns.index(column) for column in columns], dtype=np.int64)
    return PartyData(
        name,
        columns,
        np.ascontiguousarray(table.train[np.ix_(train, places)]),
        np.ascontiguousarray(table.test[np.ix_(test, places)]),
        table.train_ids[train],
        table.test_ids[test],
        table.train_target[train] if name == GUEST else None,
        table.test_target[test] if name == GUEST else None,
    )


def _places(order: np.ndarray, ids: np.ndarray, of_all: list[np.ndarray]) -> np.ndarray:
    """Positions in `ids` of the people that all know, in the guest's order."""
    known = set(order.tolist()).intersection(*(set(others.tolist()) for others in of_all))
    position = {person: place for place, person in enumerate(ids.tolist())}
    return np.array([position[person] for person in order.tolist() if person in known], dtype=np.int64)


def _digest(part: PartyData) -> str:
    digest = hashlib.sha256(repr((part.party, part.columns)).encode())
    for array in (part.train, part.test, part.train_target, part.test_target):
        digest.update(b"" if array is None else repr(array.shape).encode() + array.astype("<f8").tobytes())
    for ids in (part.train_ids, part.test_ids):
        digest.update("\n".join(map(str, ids.tolist())).encode())
    return digest.hexdigest()
