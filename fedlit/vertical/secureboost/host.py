"""A host: columns without labels."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np

from fedlit.vertical.ciphers.base import IntegerCipher
from fedlit.vertical.party import Facts, Party, Recv, Send, State, Steps
from fedlit.vertical.party_data import GUEST, PartyData
from fedlit.vertical.secureboost.binned_columns import BinnedColumns
from fedlit.vertical.secureboost.candidates import Split
from fedlit.vertical.secureboost.histograms import Level, LevelSums
from fedlit.vertical.secureboost.leak import guess_labels
from fedlit.vertical.secureboost.offers import Offers
from fedlit.vertical.secureboost.options import Options
from fedlit.vertical.secureboost.packing import Packing
from fedlit.vertical.secureboost.prediction import answer
from fedlit.vertical.secureboost.records import first_records, with_splits


class Host(Party):
    """Sums the ciphertexts of its bins, and keeps the thresholds of its splits under record numbers.

    State: `records` (`records.py`), and nothing of the guest.
    """

    def __init__(self, data: PartyData, options: Options, cipher: IntegerCipher):
        self.data, self.options, self.cipher = data, options, cipher
        self.columns = BinnedColumns.of(data.train, options.bins)
        self.packing = Packing.of(len(data.train))

    def setup(self, state: State) -> Steps:
        self.key = self.cipher.public((yield Recv(GUEST, "key")))
        return state or {"records": first_records(self.data.columns)}, {}

    def round(self, state: State, number: int) -> Steps:
        if number <= self.options.guest_first:
            return state, {}
        message = yield Recv(GUEST, "gradients")
        sums = LevelSums(self.key, self.columns, self.key.opened(message["packed"]))
        splits, seen = yield from self._grow(sums, len(state["records"]["feature"]))
        if self.options.leak == "instance_space" and number == self.options.guest_first + 1:
            yield from guess_labels(seen, self.data.train)
        return {"records": with_splits(state["records"], splits)}, {}

    def _grow(
        self, sums: LevelSums, first_record: int
    ) -> Generator[Send | Recv, Any, tuple[list[tuple[Split, int]], list[np.ndarray]]]:
        """One tree: the new splits with the people that each divides, and the node of all people at each level."""
        nodes = {0: np.arange(len(self.columns.values))}
        seen: list[np.ndarray] = []
        splits: list[tuple[Split, int]] = []
        above: Level = {}
        for level in range(self.options.depth):
            above = sums.histograms(nodes, above)
            offers = Offers.of(sums, above, nodes, self.packing)
            yield Send(GUEST, "sums", offers.body)
            chosen = offers.chosen((yield Recv(GUEST, "split"))["id"])
            if chosen:
                won = [Split.of(self.columns, nodes[node], split) for node, split in chosen.items()]
                sides = [split.left(self.columns.values[nodes[node]]) for split, node in zip(won, chosen, strict=True)]
                record = first_record + len(splits) + np.arange(len(won), dtype=np.int32)
                splits += [(split, len(nodes[node])) for split, node in zip(won, chosen, strict=True)]
                yield Send(GUEST, "left", {"side": np.packbits(np.concatenate(sides)), "record": record})
            if level == self.options.depth - 1:
                break
            of = (yield Recv(GUEST, "nodes"))["of"]
            seen.append(of)
            nodes = {int(node): np.flatnonzero(of == node) for node in np.unique(of[of >= 0])}
            if not nodes:
                break
        return splits, seen

    def predict(self, state: State, number: int) -> Steps:
        if not self.options.absent:
            yield from answer(state["records"], self.data.test, self.options.depth)
        facts: Facts = {}
        return state, facts
