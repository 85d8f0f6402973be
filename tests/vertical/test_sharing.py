"""A table becomes the data of parties: columns and people of each, targets for the guest alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fedlit.errors import InputError
from fedlit.vertical.columns import Named
from fedlit.vertical.sharing import digests, in_common, shared_out
from tests.vertical.toy_run import source

PARTIES = {"bank": ["c", "a"], "guest": ["b"], "shop": ["d", "e"]}


def test_each_party_gets_its_columns_and_the_guest_the_target():
    table = source().columns
    data = shared_out(table, Named(parties=PARTIES), 0)
    assert list(data) == ["guest", "bank", "shop"] and data["bank"].columns == ("a", "c")
    np.testing.assert_array_equal(data["bank"].test, table.test[:, [0, 2]])
    np.testing.assert_array_equal(data["guest"].train_target, table.train_target)
    assert [data[name].train_target is None for name in data] == [False, True, True]


def test_the_people_in_common_are_in_the_guests_order():
    data = shared_out(source(200).columns, Named(parties=PARTIES, overlap=0.6), 1)
    common = in_common(data)
    shared = [person for person in data["guest"].train_ids if all(person in d.train_ids for d in data.values())]
    assert 0 < len(shared) < 190
    for name, part in common.items():
        assert part.train_ids.tolist() == shared
        place = data[name].train_ids.tolist().index(shared[0])
        np.testing.assert_array_equal(part.train[0], data[name].train[place])


def test_nobody_in_common_is_refused():
    data = shared_out(source().columns, Named(parties=PARTIES), 0)
    strangers = np.array([f"x{place}" for place in range(10)])
    with pytest.raises(InputError, match="the parties have no test people in common"):
        in_common({**data, "shop": replace(data["shop"], test_ids=strangers)})


@pytest.mark.parametrize("field", ["columns", "train", "test_ids", "train_target"])
def test_a_digest_sees_each_change(field):
    guest = shared_out(source().columns, Named(parties=PARTIES), 0)["guest"]
    changed = {"columns": ("z",), "test_ids": guest.test_ids[::-1], "train_target": -guest.train_target}
    other = replace(guest, **{field: changed.get(field, guest.train + 1e-9)})
    assert digests({"guest": guest}) == digests({"guest": replace(guest)}) != digests({"guest": other})
