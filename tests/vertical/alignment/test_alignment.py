"""Alignments: the people that all parties have, in one order, and nothing else that a party could read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pytest

from fedlit.errors import InputError
from fedlit.vertical.alignment import Alignment, Ecdh, Same
from fedlit.vertical.alignment.points import Blinding, hashed_point
from fedlit.vertical.ciphers import Plain
from fedlit.vertical.linear import LinearHe
from fedlit.vertical.party_data import PartyData
from tests.vertical.stepping import Stepped, parts

P, A = 2**255 - 19, 486662


def people(name: str, train: list[int], test: list[int]) -> PartyData:
    """Each person's column is the number in the id."""
    rows = [np.array(kind, dtype=float) for kind in (train, test)]
    ids = [np.array([f"person {number}" for number in kind]) for kind in (train, test)]
    targets = rows if name == "guest" else [None, None]
    return PartyData(name, ("number",), rows[0][:, None], rows[1][:, None], *ids, *targets)  # type: ignore[arg-type]


def aligned(alignment: Alignment, *data: PartyData) -> tuple[dict[str, PartyData], Stepped]:
    """The data of which the protocol makes its parties."""
    seen: dict[str, PartyData] = {}

    class Watched(LinearHe):
        def party(self, name: str, data: PartyData | None, *others: Any) -> Any:
            if data is not None:
                seen[name] = data
            return super().party(name, data, *others)

    stepped = Stepped(Watched(), Plain(), {party.party: party for party in data}, alignment=alignment)
    return seen, stepped


def ordered(numbers: set[int]) -> list[float]:
    return sorted(map(float, numbers), key=lambda n: hashlib.sha256(f"fedlit people person {n:.0f}".encode()).digest())


THREE = (
    people("guest", [1, 2, 3, 4, 5, 6, 20, 21], [30, 31, 32, 33]),
    people("shop", [21, 9, 2, 3, 4, 8, 6], [40, 33, 30, 31]),
    people("bank", [6, 4, 3, 2, 21, 11, 12, 13, 8], [31, 33, 30, 50, 51]),
)


@pytest.mark.parametrize("hosts", [1, 2])
def test_all_parties_get_the_people_in_common_in_the_order_of_their_hashes(hosts: int) -> None:
    seen, _ = aligned(Ecdh(), *THREE[: hosts + 1])
    for data in seen.values():
        assert data.train[:, 0].tolist() == ordered({2, 3, 4, 6, 21})
        assert data.test[:, 0].tolist() == ordered({30, 31, 33})
        assert data.train_ids.tolist() == [f"person {number:.0f}" for number in data.train[:, 0]]
        assert data.test_ids.tolist() == [f"person {number:.0f}" for number in data.test[:, 0]]
    assert cast(np.ndarray, seen["guest"].train_target).tolist() == ordered({2, 3, 4, 6, 21})


@pytest.mark.parametrize("alignment", [Ecdh(), Same()])
def test_the_order_for_baselines_is_that_of_the_parties(alignment: Alignment) -> None:
    guest = people("guest", [5, 2, 9, 4], [30, 31, 7])
    host = people("host", [5, 2, 9, 4], [30, 31, 7])
    seen, _ = aligned(alignment, guest, host)
    assert guest.train_ids[alignment.order(guest.train_ids)].tolist() == seen["guest"].train_ids.tolist()
    assert guest.test_ids[alignment.order(guest.test_ids)].tolist() == seen["guest"].test_ids.tolist()


def test_four_parties_and_their_order_of_rows_do_not_matter() -> None:
    shuffled = [people("clinic", [21, 6, 4, 2], [33, 31]), *THREE]
    seen, _ = aligned(Ecdh(), *shuffled)
    for data in seen.values():
        assert data.train[:, 0].tolist() == ordered({2, 4, 6, 21}) and data.test[:, 0].tolist() == ordered({31, 33})


def test_no_id_and_no_hash_of_an_id_travels() -> None:
    _, stepped = aligned(Ecdh(), *THREE)
    sent = b"".join(letter.content for letter in stepped.letters)
    for data in THREE:
        for name in [*data.train_ids, *data.test_ids]:
            assert str(name).encode() not in sent
            assert hashed_point(str(name)) not in sent
            assert hashlib.sha256(str(name).encode()).digest() not in sent
    points = [part for name, part in parts(stepped.letters) if name == "blinded_ids.train"]
    rows = [row.tobytes() for part in points for row in cast(np.ndarray, part)]
    assert len(rows) == 3 * 8 + 2 * (7 + 9), "the guest's list makes three trips, a host's two"
    assert len(rows) - len(set(rows)) == 6, "the guest sees that shop and bank share 6 people, and nothing else repeats"


def test_a_host_gets_the_positions_of_people_in_common_only() -> None:
    _, stepped = aligned(Ecdh(), *THREE)
    sent = [letter for letter in stepped.letters if letter.name == "common_people"]
    assert {letter.receiver for letter in sent} == {"shop", "bank"}
    assert [len(cast(np.ndarray, part)) for name, part in parts(sent) if name.endswith("train")] == [5, 5]


def test_the_order_of_a_list_is_not_that_of_its_rows() -> None:
    _, stepped = aligned(Ecdh(), *THREE[:2])
    lists = [part for name, part in parts(stepped.letters[:2]) if name == "blinded_ids.train"]
    assert len(lists) == 2, "the guest's list to the host, and what the host makes of it"
    rows = [row.tobytes() for row in cast(np.ndarray, lists[0])]
    assert rows == sorted(rows)


def test_points_of_two_starts_differ() -> None:
    first, second = (aligned(Ecdh(), *THREE[:2])[1].letters[0] for _ in range(2))
    assert first.name == second.name == "blinded_ids" and first.content != second.content


@pytest.mark.parametrize("name", ["", "7", "Zoë", "person 12345", *map(str, range(20))])
def test_hashed_points_are_of_the_curve(name: str) -> None:
    """u^3 + A u^2 + u is a square, so u is the coordinate of a point of the curve and not of its twist."""
    u = int.from_bytes(hashed_point(name), "little")
    root_of = (u**3 + A * u**2 + u) % P
    assert 0 < u < P and pow(root_of, (P - 1) // 2, P) == 1
    assert hashed_point(name) == hashed_point(name) != hashed_point(name + " ")


def test_blinding_commutes_and_is_x25519() -> None:
    first, second = Blinding(), Blinding()
    names = ["a", "b", "c"]
    once = first.of_texts(names)
    assert np.array_equal(second.of_points(once), first.of_points(second.of_texts(names)))
    assert not np.array_equal(once, second.of_texts(names))
    scalar = int.from_bytes(first._key.private_bytes_raw(), "little")
    scalar = scalar & ~7 & (2**255 - 1) | 2**254
    for point, blinded in zip(map(hashed_point, names), once, strict=True):
        assert int.from_bytes(blinded.tobytes(), "little") == ladder(scalar, int.from_bytes(point, "little"))


def ladder(k: int, u: int) -> int:
    """The Montgomery ladder of RFC 7748, section 5."""
    x2, z2, x3, z3 = 1, 0, u, 1
    for bit in reversed(range(255)):
        if swap := k >> bit & 1:
            x2, x3, z2, z3 = x3, x2, z3, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        x3, z3 = (d * a + c * b) ** 2 % P, u * (d * a - c * b) ** 2 % P
        e = a * a - b * b
        x2, z2 = a * a * b * b % P, e * (a * a + 121665 * e) % P
        if swap:
            x2, x3, z2, z3 = x3, x2, z3, z2
    return x2 * pow(z2, P - 2, P) % P


def test_points_of_small_order_are_refused() -> None:
    for u in (0, 1):
        with pytest.raises(InputError, match="a point of small order"):
            Blinding().of_points(np.frombuffer(u.to_bytes(32, "little"), np.uint8)[None])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ((people("guest", [1, 2], [3]), people("host", [4, 5], [3])), "guest and host have no training people in com"),
        ((people("guest", [1, 2], [3]), people("host", [1, 5], [4])), "guest and host have no test people in common"),
        ((people("guest", [1, 2], []), people("host", [1, 5], [])), "have no test people in common"),
        (
            (people("guest", [1, 2], [3]), people("host", [1, 1, 1], [3])),
            "alignment=ecdh: 2 of the 3 ids of host are those of other rows as well",
        ),
    ],
)
def test_people_that_do_not_fit_are_refused(data: tuple[PartyData, ...], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        aligned(Ecdh(), *data)


def test_none_leaves_rows_as_they_are_and_refuses_other_numbers() -> None:
    data = people("guest", [3, 1, 2], [5]), people("host", [7, 8, 9], [6])
    seen, stepped = aligned(Same(), *data)
    assert seen["guest"].train[:, 0].tolist() == [3, 1, 2] and seen["host"].train[:, 0].tolist() == [7, 8, 9]
    assert stepped.letters[0].name == "rows"
    with pytest.raises(
        InputError, match="host has 3 training rows and 1 test row, and the guest has 2 and 1; write align"
    ):
        aligned(Same(), people("guest", [3, 1], [5]), data[1])
    with pytest.raises(InputError, match="host has 3 training rows and 1 test row, and the guest has 3 and 2"):
        aligned(Same(), people("guest", [3, 1, 2], [5, 6]), data[1])


def test_every_clear_part_is_declared() -> None:
    for alignment in (Ecdh(), Same()):
        declared: Mapping[str, str] = alignment.clear
        same = people("guest", [1, 2, 3], [4]), people("shop", [1, 2, 3], [4]), people("bank", [3, 1, 2], [4])
        _, stepped = aligned(alignment, *same)
        sent = {name for name, _ in parts(stepped.letters)} - set(LinearHe.clear)
        assert sent == set(declared)


def test_the_missing_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Ecdh().check()
    monkeypatch.setattr("fedlit.messages.secure.installed.find_spec", lambda package: None)
    with pytest.raises(InputError, match=r"alignment=ecdh needs the package cryptography; run: pip install 'fedlit\["):
        Ecdh().check()
