"""The contract of a division of columns among parties, and the people that each party knows."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedlit.data import ColumnTable
from fedlit.errors import InputError
from fedlit.randomness import key_number
from fedlit.settings.closest import closest
from fedlit.vertical.party_data import GUEST

_NAME = re.compile(r"[A-Za-z]\w*")  # party names are in names of files and of metrics

Rows = tuple[np.ndarray, np.ndarray]
"""Positions of training and of test rows in a table, ascending."""


@dataclass(frozen=True, kw_only=True)
class Columns(ABC):
    """Divides the columns of a table among parties. A subclass needs `deal`.

    >>> @dataclass(frozen=True, kw_only=True)
    ... class FirstToGuest(Columns):
    ...     number: int = 1
    ...
    ...     def deal(self, table, seed):
    ...         return {"guest": table.columns[: self.number], "host": table.columns[self.number :]}
    >>> FirstToGuest(number=3).overlap
    1.0

    Attributes:
        overlap: share of the people that every party has, above 0 and at most 1; each of the others is with one party.
    """

    overlap: float = 1.0

    @abstractmethod
    def deal(self, table: ColumnTable, seed: int) -> Mapping[str, Sequence[str]]:
        """The names of each party's columns, by party; the guest may have none.

        Args:
            seed: the run's, for keyed draws.
        """

    def share(self, table: ColumnTable, seed: int) -> dict[str, tuple[str, ...]]:
        """`deal`, checked; the columns of a party are in the order of the table.

        Raises:
            InputError: a column is with two parties or with none, or is none of the table; there is no guest, or no
                host, or a host has no columns.
        """
        dealt = {party: list(names) for party, names in self.deal(table, seed).items()}
        check_parties(list(dealt))
        for party, names in dealt.items():
            if not names and party != GUEST:
                raise InputError(f"columns: {party} has no column; only the guest may have none, so leave {party} out.")
        owner: dict[str, str] = {}
        for party, names in dealt.items():
            for name in names:
                if name not in table.columns:
                    raise InputError(f"columns: {party} gets {name}, which is no column of {table.name}; take it out.")
                if name in owner:
                    second = "twice" if owner[name] == party else f"to {owner[name]} and to {party}"
                    raise InputError(f"columns: {name} goes {second}; each column has one party.")
                owner[name] = party
        left = [name for name in table.columns if name not in owner]
        if left:
            raise InputError(f"columns: no party has {shown(left)}; give each column to one party.")
        return {party: tuple(name for name in table.columns if owner[name] == party) for party in dealt}

    def people(self, table: ColumnTable, parties: Sequence[str], seed: int) -> dict[str, Rows]:
        """The rows of each party: the people that all have, and its part of the others, in the order of the table.

        A person is drawn by id, so training and test rows of one person go together: of all ids in the order of their
        keyed hashes, the first `overlap` of them, rounded, are with every party; the parties get the others in turn.

        Raises:
            InputError: no training or no test row would be with every party.
        """
        ids = np.unique(np.concatenate([table.train_ids, table.test_ids]))
        if self.overlap == 1:
            return {party: (np.arange(len(table.train)), np.arange(len(table.test))) for party in parties}
        order = sorted(range(len(ids)), key=lambda i: key_number(seed, "columns", "overlap", str(ids[i])))
        common = round(self.overlap * len(ids))
        owner = np.full(len(ids), -1)  # -1: every party
        owner[order[common:]] = np.arange(len(ids) - common) % len(parties)
        owners = [owner[np.searchsorted(ids, part)] for part in (table.train_ids, table.test_ids)]
        for part, of_rows in zip(("training", "test"), owners, strict=True):
            if not (of_rows == -1).any():
                raise InputError(
                    f"columns.overlap={self.overlap} of {len(ids)} people leaves no {part} row that all parties have; "
                    "write a larger share."
                )
        train, test = owners
        return {
            party: (np.flatnonzero((train < 0) | (train == number)), np.flatnonzero((test < 0) | (test == number)))
            for number, party in enumerate(parties)
        }


def check_parties(parties: Sequence[str], option: str = "columns.parties") -> None:
    """Refuse names that are no parties of a vertical run.

    Raises:
        InputError: a name occurs twice or is no word, there is no guest, or no host.
    """
    for party in parties:
        if parties.count(party) > 1:
            raise InputError(f"{option} names {party} twice; name each party once.")
        if not isinstance(party, str) or not _NAME.fullmatch(party):
            raise InputError(f"{option}: {party!r} is no name of a party; write letters, digits and _, such as bank_1.")
    if GUEST not in parties:
        meant = closest(GUEST, parties)
        advice = f"write guest for {meant}" if meant else "add guest, the party that holds the target"
        raise InputError(f"{option} has no guest among {shown(parties) or 'no parties'}; {advice}.")
    if len(parties) < 2:
        raise InputError(f"{option} has the guest alone; add a host, such as host.")


def shown(names: Sequence[str], most: int = 5) -> str:
    """Names for a message, the first ones of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more
