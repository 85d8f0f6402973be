"""Columns to parties by how much they say of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedlit.data import ColumnTable
from fedlit.errors import InputError
from fedlit.plurals import counted
from fedlit.vertical.columns.base import Columns, check_parties
from fedlit.vertical.columns.mutual_information import importances
from fedlit.vertical.party_data import GUEST


@dataclass(frozen=True, kw_only=True)
class Importance(Columns):
    """Each party gets a share of the summed importance of all columns, as near as whole columns allow.

    The importance of a column is its mutual information with the target
    (`fedlit.vertical.columns.mutual_information.importances`). From the most important column to the least, each goes
    to the party whose sum is the smallest in proportion to its share; of equal ones, to the party with the fewest
    columns in this proportion, then to the first. No draw is made: the division is the same for every seed.

    Attributes:
        parties: names of the parties, the guest among them.
        shares: of the summed importance, by party in the order of `parties`, in any unit: [1, 4] gives the second party
            four times as much. 0 is possible for the guest, which then has the target alone. None: equal shares.
    """

    parties: Sequence[str] = ("guest", "host")
    shares: Sequence[float] | None = None

    def deal(self, table: ColumnTable, seed: int) -> dict[str, list[str]]:
        """The columns of each party.

        Raises:
            InputError: the parties or shares are none, or there are fewer columns than parties with a share.
        """
        shares = self._shares(table)
        importance = importances(table)
        sums = dict.fromkeys(shares, 0.0)
        dealt: dict[str, list[str]] = {party: [] for party in shares}
        takers = [party for party, share in shares.items() if share]
        for name in sorted(table.columns, key=lambda name: -importance[name]):
            taker = min(takers, key=lambda party: (sums[party] / shares[party], len(dealt[party]) / shares[party]))
            dealt[taker].append(name)
            sums[taker] += importance[name]
        return dealt

    def _shares(self, table: ColumnTable) -> dict[str, float]:
        parties = list(self.parties)
        check_parties(parties)
        given = [1.0] * len(parties) if self.shares is None else [float(share) for share in self.shares]
        if len(given) != len(parties):
            raise InputError(
                f"columns.shares has {counted(len(given), 'share')} for {counted(len(parties), 'party', 'parties')}; "
                "write one for each, in the order of columns.parties."
            )
        shares = dict(zip(parties, given, strict=True))
        for party, share in shares.items():
            if not 0 <= share < float("inf") or (share == 0 and party != GUEST):
                allowed = "at least 0" if party == GUEST else "above 0"
                raise InputError(f"columns.shares gives {party} {share:g}; write a number {allowed}.")
        check_enough(table, sum(share > 0 for share in given))
        return shares


def check_enough(table: ColumnTable, parties: int) -> None:
    """Refuse fewer columns than parties that need one."""
    if len(table.columns) < parties:
        raise InputError(
            f"columns.parties: {counted(parties, 'party', 'parties')} share {counted(len(table.columns), 'column')} of "
            f"{table.name}; name fewer parties."
        )
