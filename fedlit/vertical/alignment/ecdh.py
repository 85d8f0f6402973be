"""alignment=ecdh: private set intersection by commuting scalars (Meadows 1986, "A More Efficient Cryptographic
Matchmaking Protocol"; Huberman, Franklin, Hogg 1999, "Enhancing Privacy and Trust in Electronic Communities")."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedlit.errors import InputError
from fedlit.messages.secure.installed import check_installed
from fedlit.vertical.alignment.base import Aligning, Alignment, check_common
from fedlit.vertical.alignment.points import SIZE, Blinding, digest
from fedlit.vertical.party import Recv, Send
from fedlit.vertical.party_data import GUEST, PartyData

KINDS = ("train", "test")

Lists = dict[str, np.ndarray]
"""By kind: points (N, 32), keys of points (N,), or positions in a list."""

Exchange = Generator[Send | Recv, Any, Lists]


@dataclass(frozen=True)
class Ecdh(Alignment):
    """Each party p has a secret scalar a_p. With H(id), a point of Curve25519:

    1. Each party sends a_p H(id) of its people, in the order of these points, from one party to the next: a host's list
       by the other hosts to the guest, the guest's by all hosts back to the guest. Each multiplies by its scalar.
    2. The guest compares the lists, which all parties have blinded, and sends each host the positions, in the list that
       the host had sent, of the people that all have.
    3. Each party orders its rows by SHA-256 of their ids.

    **All parties learn the people in common**, and how many people the sender of each list has. The guest also learns,
    of several hosts, how the lists overlap: which of its people each host has, and how many two hosts have in common. A
    host learns nothing of people that are not in common. **All parties are assumed to follow the steps**: a party that
    puts guessed ids into its list finds out whether the others have them, as with any private set intersection; a
    guest may send other positions.
    """

    name: ClassVar[str] = "ecdh"
    clear: ClassVar[Mapping[str, str]] = {
        **{f"blinded_ids.{kind}": "points that a secret scalar of their party has made random" for kind in KINDS},
        **{f"common_people.{kind}": "which of the points, that the host had sent, all have" for kind in KINDS},
    }

    def check(self) -> None:
        check_installed("alignment=ecdh", "cryptography", "secure")

    def order(self, ids: np.ndarray) -> np.ndarray:
        return _by_digest(np.arange(len(ids)), ids)

    def align(self, data: PartyData, others: Sequence[str]) -> Aligning:
        check_ids(data)
        blinding = Blinding()
        ids = {"train": data.train_ids, "test": data.test_ids}
        points = {kind: blinding.of_texts(list(map(str, ids[kind]))) for kind in KINDS}
        order = {kind: np.argsort(_as_keys(points[kind])) for kind in KINDS}
        listed = {kind: points[kind][order[kind]] for kind in KINDS}
        exchange = self._of_guest if data.party == GUEST else self._of_host
        common = yield from exchange(data.party, others, blinding, listed)
        rows = [_by_digest(order[kind][common[kind]], ids[kind]) for kind in KINDS]
        return data.rows(*rows)

    def _of_host(self, name: str, others: Sequence[str], blinding: Blinding, listed: Lists) -> Exchange:
        hosts = sorted({name, *others} - {GUEST})
        for owner in (GUEST, *hosts):  # all parties handle the lists in this order
            stops = _stops(owner, hosts)
            place = stops.index(name)
            if owner != name:
                received = yield Recv(stops[place - 1], "blinded_ids")
            blinded = listed if owner == name else _times(blinding, received)
            yield Send(stops[place + 1], "blinded_ids", blinded)
        common = yield Recv(GUEST, "common_people")
        return {kind: common[kind] for kind in KINDS}

    def _of_guest(self, name: str, others: Sequence[str], blinding: Blinding, listed: Lists) -> Exchange:
        hosts = sorted(others)
        yield Send(hosts[0], "blinded_ids", listed)
        lists: dict[str, Lists] = {}
        for owner in (GUEST, *hosts):
            received = yield Recv(_stops(owner, hosts)[-2], "blinded_ids")
            blinded = received if owner == GUEST else _times(blinding, received)
            lists[owner] = {kind: _as_keys(blinded[kind]) for kind in KINDS}
        common = {kind: _in_all([lists[owner][kind] for owner in lists]) for kind in KINDS}
        check_common(len(common["train"]), len(common["test"]), (GUEST, *others))
        positions = {
            owner: {kind: np.flatnonzero(np.isin(lists[owner][kind], common[kind])) for kind in KINDS}
            for owner in lists
        }
        for host in hosts:
            yield Send(host, "common_people", positions[host])
        return positions[GUEST]


def check_ids(data: PartyData) -> None:
    """
    Raises:
        InputError: an id stands for two rows.
    """
    for ids in (data.train_ids, data.test_ids):
        if twice := len(ids) - len(set(map(str, ids))):
            raise InputError(
                f"alignment=ecdh: {twice} of the {len(ids)} ids of {data.party} are those of other rows as well; give "
                "each person an id, or write alignment=none."
            )


def _stops(owner: str, hosts: Sequence[str]) -> list[str]:
    """The parties that have a list in turn: its owner, the other hosts, the guest."""
    return [owner, *(host for host in hosts if host != owner), GUEST]


def _times(blinding: Blinding, points: Lists) -> Lists:
    return {kind: blinding.of_points(points[kind]) for kind in KINDS}


def _as_keys(points: Any) -> np.ndarray:
    """(N, 32) uint8 as (N,) keys that can be compared."""
    return np.ascontiguousarray(points).view(f"S{SIZE}")[:, 0] if len(points) else np.empty(0, f"S{SIZE}")


def _in_all(lists: Sequence[np.ndarray]) -> np.ndarray:
    common = lists[0]
    for keys in lists[1:]:
        common = np.intersect1d(common, keys)
    return common


def _by_digest(rows: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The same rows in the order of the hashes of their ids."""
    return np.array(sorted(rows.tolist(), key=lambda row: digest(str(ids[row]))), dtype=np.int64)
