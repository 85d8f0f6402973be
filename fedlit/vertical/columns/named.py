"""Columns to parties by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from fedlit.data import ColumnTable
from fedlit.errors import InputError
from fedlit.settings.closest import closest
from fedlit.vertical.columns.base import Columns, check_parties, shown
from fedlit.vertical.party_data import GUEST

REST = "rest"
"""The word for the columns that no other party has."""


@dataclass(frozen=True, kw_only=True)
class Named(Columns):
    """Each party has the columns that its names and patterns fit.

    Patterns are those of file names (Python's `fnmatch.fnmatchcase`): `*` is any text, `?` one character, `[0-9]` one
    of these; case counts. `PAY_[0-9]` does not fit PAY_AMT1, and `PAY_*` does. A name that is a column's stands for
    this column alone, whatever characters it has. `rest`, of one party at most, is what no other party has.

    Attributes:
        parties: party -> a name or pattern, or a list of them, such as `{guest: rest, host: 'PAY_[0-9]'}`; nothing
            (null, or an empty list) for a guest that holds the target alone. None: the division that the data name.
    """

    parties: Mapping[str, Any] | None = None

    def deal(self, table: ColumnTable, seed: int) -> dict[str, list[str]]:
        """The columns of each party.

        Raises:
            InputError: a pattern fits no column, a column fits two parties, or no party has it; the guest or a host is
                missing; the data name no division.
        """
        patterns = self._patterns(table)
        owner: dict[str, str] = {}
        for party, words in patterns.items():
            for word in words:
                for name in [] if word == REST else _fitting(word, table, party):
                    if owner.setdefault(name, party) != party:
                        raise InputError(
                            f"columns.parties: {name} goes to {owner[name]} and to {party}; each column has one party, "
                            "so change one of their patterns."
                        )
        left = [name for name in table.columns if name not in owner]
        takers = [party for party, words in patterns.items() if REST in words]
        if len(takers) > 1:
            raise InputError(f"columns.parties: {' and '.join(takers)} have rest; write it for one party.")
        if left and not takers:
            raise InputError(
                f"columns.parties: no party has {shown(left)}; write rest for one party, such as "
                f"columns.parties.{GUEST}=rest, or add them to a party's list."
            )
        owner |= dict.fromkeys(left, takers[0]) if takers else {}
        for party, words in patterns.items():
            if party not in owner.values() and party != GUEST:  # a guest may hold the target alone
                why = "no other column is left for rest" if words else "its list is empty"
                raise InputError(f"columns.parties: {party} has no column, because {why}; leave {party} out.")
        return {party: [name for name in table.columns if owner[name] == party] for party in patterns}

    def _patterns(self, table: ColumnTable) -> dict[str, list[str]]:
        parties = table.parties if self.parties is None else self.parties
        if parties is None:
            example = shown(table.columns[:1])
            raise InputError(
                f"columns=named: {table.name} names no division of its columns among parties; write for example "
                f"'columns.parties={{guest: rest, host: {example}}}' (it has {shown(table.columns)})."
            )
        check_parties(list(parties))
        patterns = {}
        for party, words in parties.items():
            listed = [] if words is None else [words] if isinstance(words, str | int) else words
            if not isinstance(listed, Sequence) or not all(isinstance(word, str | int) for word in listed):
                raise InputError(
                    f"columns.parties.{party}={words} is no name or pattern, and no list of them; write for example "
                    f"columns.parties.{party}=[{shown(table.columns[:1])}]."
                )
            patterns[party] = [str(word) for word in listed]  # a table without a header has the columns 0, 1, ...
        return patterns


def _fitting(word: str, table: ColumnTable, party: str) -> list[str]:
    """The columns that a name or pattern fits."""
    if word in table.columns:
        return [word]
    fitting = [name for name in table.columns if fnmatchcase(name, word)]
    if fitting:
        return fitting
    if any(name.startswith(f"{word}=") for name in table.columns):
        advice = f"its categories are columns: write '{word}=*'"
    else:
        nearest = closest(word.replace("*", ""), table.columns)
        advice = f"the closest name is {nearest}" if nearest else f"there are {shown(table.columns)}"
    raise InputError(f"columns.parties.{party}={word} fits no column of {table.name}; {advice}.")
