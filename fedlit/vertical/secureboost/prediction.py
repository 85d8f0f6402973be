"""People on their way through the trees: each party says which side they go at its own splits."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from fedlit.vertical.party import Recv, Send
from fedlit.vertical.party_data import GUEST
from fedlit.vertical.secureboost.candidates import goes_left
from fedlit.vertical.secureboost.records import Records
from fedlit.vertical.secureboost.trees import GUEST_PARTY, LEAF


def leaves(
    trees: dict[str, np.ndarray], values: np.ndarray, hosts: Sequence[str], depth: int
) -> Generator[Send | Recv, Any, np.ndarray]:
    """The guest's side: what each tree adds to the margins, (T, M) for T trees and M people.

    All trees go down together, and each host is asked once a level, also where nobody is at a split of its own: the
    number of its messages shows nothing.

    Args:
        trees: arrays (T, nodes) of `Tree.nodes`.
        values: (M, D), the guest's columns.
    """
    number = np.arange(len(trees["party"]))[:, None]
    at = np.zeros((len(number), len(values)), np.int64)
    for _ in range(depth):
        party = trees["party"][number, at]
        left = np.zeros(at.shape, bool)
        tree, row = np.nonzero(party == GUEST_PARTY)
        node = at[tree, row]
        asked = values[row, trees["reference"][tree, node]]
        left[tree, row] = goes_left(asked, trees["threshold"][tree, node], trees["missing_left"][tree, node])
        places = [np.nonzero(party == index) for index in range(1, len(hosts) + 1)]
        for host, (tree, row) in zip(hosts, places, strict=True):
            record = trees["reference"][tree, at[tree, row]]
            yield Send(host, "ask", {"row": row.astype(np.int32), "record": record.astype(np.int32)})
        for host, (tree, row) in zip(hosts, places, strict=True):
            side = (yield Recv(host, "answer"))["side"]
            left[tree, row] = np.unpackbits(side, count=len(row)).astype(bool)
        at = np.where(party == LEAF, at, 2 * at + np.where(left, 1, 2))
    return trees["leaf"][number, at]


def answer(records: Records, values: np.ndarray, depth: int) -> Generator[Send | Recv, Any, None]:
    """The host's side.

    Args:
        values: (M, D), the host's columns.
    """
    for _ in range(depth):
        asked = yield Recv(GUEST, "ask")
        feature, threshold, missing_left = (
            records[name].numpy()[asked["record"]] for name in ("feature", "threshold", "missing_left")
        )
        side = goes_left(values[asked["row"], feature], threshold, missing_left)
        yield Send(GUEST, "answer", {"side": np.packbits(side)})
