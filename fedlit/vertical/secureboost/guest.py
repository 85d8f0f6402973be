"""The guest: labels, its own columns, the private key, and the trees."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch

from fedlit.errors import InputError
from fedlit.vertical.ciphers.base import IntegerCipher
from fedlit.vertical.measures import measures
from fedlit.vertical.party import Facts, Party, Recv, Send, State, Steps
from fedlit.vertical.party_data import PartyData
from fedlit.vertical.protocol import Task
from fedlit.vertical.secureboost.binned_columns import BinnedColumns
from fedlit.vertical.secureboost.growing import Growth, Hosts
from fedlit.vertical.secureboost.importances import column_importances, party_importances
from fedlit.vertical.secureboost.leak import score_guesses
from fedlit.vertical.secureboost.objectives import derivatives, start
from fedlit.vertical.secureboost.options import Options
from fedlit.vertical.secureboost.packing import Packing
from fedlit.vertical.secureboost.prediction import leaves
from fedlit.vertical.secureboost.trees import arrays, count, no_trees, with_tree


class Guest(Party):
    """Boosts trees (Chen and Guestrin 2016, algorithm 1) over its columns and the splits that hosts offer.

    State: `joint`, a model of all parties; `alone`, one of the guest's columns under `missing_party=guest`; and the
    `importance` of its columns in `joint`. A model is
        trees: `trees.py`.
        margin: (N,) of the training people.
        test_margin: (M,) of the test people, by the first `tested` trees.
    """

    def __init__(self, data: PartyData, hosts: Sequence[str], options: Options, cipher: IntegerCipher, task: Task):
        assert data.train_target is not None and data.test_target is not None, "a guest without targets"
        self.data, self.options, self.cipher, self.task = data, options, cipher, task
        self.hosts = Hosts(tuple(hosts))
        self.target, self.test_target = data.train_target, data.test_target
        self.columns = BinnedColumns.of(data.train, options.bins)
        self.packing = Packing.of(len(data.train))

    def setup(self, state: State) -> Steps:
        if self.options.leak and self.options.known_labels >= len(self.target):
            raise InputError(
                f"protocol.known_labels={self.options.known_labels} leaves no label to guess among "
                f"{len(self.target)} people; write a smaller number."
            )
        if self.hosts.names:
            key = self.cipher.generate()
            if self.packing.capacity(key) < 1:
                raise InputError(
                    f"cipher.bits={key.modulus.bit_length()} is too few for a sum of {len(self.target)} people, which "
                    f"takes {self.packing.width + 2} bits; write cipher.bits=2048."
                )
            self.hosts = Hosts(self.hosts.names, key)
            for host in self.hosts.names:
                yield Send(host, "key", key.message())
        return state or self._first_state(), {}

    def _first_state(self) -> State:
        margin = start(self.task, self.target)
        trees = no_trees(self.options.depth)
        model = {
            "trees": trees,
            "margin": torch.full((len(self.target),), margin, dtype=torch.float64),
            "test_margin": torch.full((len(self.test_target),), margin, dtype=torch.float64),
            "tested": 0,
        }
        state = {"joint": model, "importance": column_importances(self.data.columns, trees)}
        return state | ({"alone": model} if self.options.missing_party == "guest" else {})

    def round(self, state: State, number: int) -> Steps:
        with_hosts = number > self.options.guest_first
        joint = yield from self._boosted(state["joint"], self.hosts if with_hosts else Hosts())
        new: State = {**state, "joint": joint, "importance": column_importances(self.data.columns, joint["trees"])}
        if "alone" in state:
            new["alone"] = yield from self._boosted(state["alone"], Hosts())
        facts: Facts = party_importances(joint["trees"], self.hosts.names)
        if self.options.leak == "instance_space" and number == self.options.guest_first + 1:
            facts |= yield from score_guesses(self.target, self.hosts.names, self.options.known_labels)
        return new, facts

    def _boosted(self, model: dict[str, Any], hosts: Hosts) -> Generator[Send | Recv, Any, dict[str, Any]]:
        """The model with one tree more."""
        slopes = derivatives(self.task, model["margin"].numpy(), self.target, self.packing)
        tree, moved = yield from Growth(self.columns, slopes, self.options, self.packing, hosts).tree()
        return {
            **model,
            "trees": with_tree(model["trees"], tree),
            "margin": model["margin"] + torch.from_numpy(moved),
        }

    def predict(self, state: State, number: int) -> Steps:
        """Measures on the test people: of `joint`, or of `alone` where a host is absent. Where none is, those of
        `alone` are facts: `alone/auc`."""
        new: State = dict(state)
        facts: Facts = {}
        if "alone" in state:
            new["alone"], facts = yield from self._tested(state["alone"], ())
        if self.options.absent:
            return new, facts
        new["joint"], measured = yield from self._tested(state["joint"], self.hosts.names)
        return new, measured | {f"alone/{name}": value for name, value in facts.items()}

    def _tested(
        self, model: dict[str, Any], hosts: Sequence[str]
    ) -> Generator[Send | Recv, Any, tuple[dict[str, Any], Facts]]:
        """The model with the test margins of all its trees, and its measures. A tree is asked once in a run."""
        added = yield from leaves(arrays(model["trees"], model["tested"]), self.data.test, hosts, self.options.depth)
        margin = model["test_margin"].numpy()
        for tree in added:  # one after the other, so that the sum does not depend on when it was measured
            margin = margin + tree
        new = {**model, "test_margin": torch.from_numpy(np.array(margin)), "tested": count(model["trees"])}
        return new, measures(self.task, self.test_target, margin)
