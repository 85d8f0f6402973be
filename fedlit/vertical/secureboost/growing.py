"""One tree, from the guest's side."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedlit.vertical.ciphers.base import OwnerKey
from fedlit.vertical.party import Recv, Send
from fedlit.vertical.secureboost.binned_columns import BinnedColumns
from fedlit.vertical.secureboost.candidates import Split
from fedlit.vertical.secureboost.gains import gains, leaf
from fedlit.vertical.secureboost.objectives import Derivatives
from fedlit.vertical.secureboost.options import Options
from fedlit.vertical.secureboost.own_splits import Choice, best_own_split
from fedlit.vertical.secureboost.packing import Packing
from fedlit.vertical.secureboost.trees import GUEST_PARTY, Tree

Nodes = dict[int, np.ndarray]
"""The rows of each node of a level, in the order of nodes."""


@dataclass(frozen=True)
class Hosts:
    """The hosts of a tree, and the key of their sums.

    Attributes:
        names: in their fixed order; none: the guest grows the tree alone.
    """

    names: Sequence[str] = ()
    key: OwnerKey | None = None

    @property
    def owner_key(self) -> OwnerKey:
        assert self.key is not None, "hosts, and no key"
        return self.key


@dataclass(frozen=True)
class Growth:
    """What a tree is grown of: the guest's columns, the derivatives, and the hosts."""

    columns: BinnedColumns
    derivatives: Derivatives
    options: Options
    packing: Packing
    hosts: Hosts

    def tree(self) -> Generator[Send | Recv, Any, tuple[Tree, np.ndarray]]:
        """Algorithm 1 of the paper, a level at a time.

        Returns:
            the tree, and what it adds to the margins of the training people, (N,).
        """
        tree, moved = Tree(self.options.depth), np.zeros(len(self.columns.values))
        nodes: Nodes = {0: np.arange(len(moved))}
        yield from self._gradients()
        for level in range(self.options.depth):
            best = yield from self._best_splits(nodes)
            sides = yield from self._divided(tree, best, nodes)
            children: Nodes = {}
            for node, rows in nodes.items():
                if node in sides:
                    children[2 * node + 1], children[2 * node + 2] = rows[sides[node]], rows[~sides[node]]
                else:
                    self._end(tree, node, rows, moved)
            nodes = children
            if level < self.options.depth - 1:  # the leaves of the last level are not shown
                yield from self._shown(nodes)
            if not nodes:
                break
        for node, rows in nodes.items():
            self._end(tree, node, rows, moved)
        return tree, moved

    def _gradients(self) -> Generator[Send | Recv, Any, None]:
        if self.hosts.names:
            key, derivatives = self.hosts.owner_key, self.derivatives
            sealed = key.seal(key.encrypt_all(self.packing.packed(derivatives.g, derivatives.h)))
            for host in self.hosts.names:
                yield Send(host, "gradients", {"packed": sealed})

    def _best_splits(self, nodes: Nodes) -> Generator[Send | Recv, Any, dict[int, Choice]]:
        """The guest's own splits, and then those that each host offers."""
        best = {
            node: best_own_split(self.columns, rows, self.derivatives, self.options) for node, rows in nodes.items()
        }
        for party, host in enumerate(self.hosts.names, 1):
            offered = yield Recv(host, "sums")
            key = self.hosts.owner_key
            numbers = key.decrypt_all(key.opened(offered["packed"]))
            g, h = self.packing.unpacked(self.packing.all_opened(key, numbers, len(offered["node"])))
            for node, rows in nodes.items():
                ids = np.flatnonzero(offered["node"] == node)
                gained = gains(g[ids], h[ids], self.derivatives.sums(rows), self.derivatives, self.options)
                best[node] = best[node].or_better(gained, party, ids, ties=True)
        return best

    def _divided(
        self, tree: Tree, best: dict[int, Choice], nodes: Nodes
    ) -> Generator[Send | Recv, Any, dict[int, np.ndarray]]:
        """The left side of each node that is split, as truth values for its rows; the tree gets the splits."""
        won: dict[int | None, list[int]] = {party: [] for party in [None, *range(len(self.hosts.names) + 1)]}
        for node, choice in best.items():
            won[choice.party].append(node)
        for party, host in enumerate(self.hosts.names, 1):
            ids = [best[node].candidate for node in won[party]]
            yield Send(host, "split", {"id": np.concatenate([np.zeros(0, np.int64), *ids]).astype(np.int32)})
        sides: dict[int, np.ndarray] = {}
        for node in won[GUEST_PARTY]:
            split = Split.of(self.columns, nodes[node], best[node].candidate)
            sides[node] = split.left(self.columns.values[nodes[node]])
            tree.set(node, party=GUEST_PARTY, gain=best[node].gain, reference=split.feature)
            tree.set(node, threshold=split.threshold, missing_left=split.missing_left)
        for party, host in enumerate(self.hosts.names, 1):
            if not won[party]:
                continue
            message = yield Recv(host, "left")
            ends = np.cumsum([len(nodes[node]) for node in won[party]])
            side = np.unpackbits(message["side"], count=int(ends[-1])).astype(bool)
            for node, left, record in zip(won[party], np.split(side, ends[:-1]), message["record"], strict=True):
                sides[node] = left
                tree.set(node, party=party, gain=best[node].gain, reference=int(record))
        return sides

    def _shown(self, nodes: Nodes) -> Generator[Send | Recv, Any, None]:
        """To each host the node of each person; -1 where it is a leaf."""
        of = np.full(len(self.columns.values), -1, np.int16)
        for node, rows in nodes.items():
            of[rows] = node
        for host in self.hosts.names:
            yield Send(host, "nodes", {"of": of})

    def _end(self, tree: Tree, node: int, rows: np.ndarray, moved: np.ndarray) -> None:
        value = leaf(self.derivatives.sums(rows), self.derivatives, self.options)
        moved[rows] = value
        tree.set(node, leaf=value)
