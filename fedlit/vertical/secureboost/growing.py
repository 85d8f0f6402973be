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
    """The hosts of a tree, and the key for what they send.

    Attributes:
        names: in their fixed order; none: the guest grows the tree alone.
    """

    names: Sequence[str] = ()
    key: OwnerKey | None = None

    @property
    def owner_key(self) -> OwnerKey:
        assert self.key is not None, "hosts, and no key"
        return self.key


def grow(
    columns: BinnedColumns, derivatives: Derivatives, options: Options, packing: Packing, hosts: Hosts
) -> Generator[Send | Recv, Any, tuple[Tree, np.ndarray]]:
    """Algorithm 1 of the paper, a level at a time.

    Returns:
        the tree, and what it adds to the margins of the training people, (N,).
    """
    tree, moved = Tree(options.depth), np.zeros(len(columns.values))
    nodes: Nodes = {0: np.arange(len(moved))}
    if hosts.names:
        sealed = hosts.owner_key.seal(hosts.owner_key.encrypt_all(packing.packed(derivatives.g, derivatives.h)))
        for host in hosts.names:
            yield Send(host, "gradients", {"packed": sealed})
    for level in range(options.depth):
        best = {node: best_own_split(columns, rows, derivatives, options) for node, rows in nodes.items()}
        for party, host in enumerate(hosts.names, 1):
            best = yield from _with_offers(host, party, best, nodes, derivatives, options, packing, hosts.owner_key)
        sides = yield from _divided(tree, columns, best, nodes, hosts)
        children: Nodes = {}
        for node, rows in nodes.items():
            if node in sides:
                children[2 * node + 1], children[2 * node + 2] = rows[sides[node]], rows[~sides[node]]
            else:
                _end(tree, node, rows, derivatives, options, moved)
        nodes = children
        if level < options.depth - 1:  # the leaves of the last level are not shown
            yield from _shown(nodes, len(moved), hosts)
        if not nodes:
            break
    for node, rows in nodes.items():
        _end(tree, node, rows, derivatives, options, moved)
    return tree, moved


def _with_offers(
    host: str,
    party: int,
    best: dict[int, Choice],
    nodes: Nodes,
    derivatives: Derivatives,
    options: Options,
    packing: Packing,
    key: OwnerKey,
) -> Generator[Send | Recv, Any, dict[int, Choice]]:
    """The best split of each node, with those that this host offers."""
    message = yield Recv(host, "sums")
    numbers, node_of = key.decrypt_all(key.opened(message["packed"])), message["node"]
    each = packing.capacity(key)
    sums = [
        packed
        for place, number in enumerate(numbers)
        for packed in packing.opened(number, min(each, len(node_of) - place * each))
    ]
    g, h = packing.unpacked(sums)
    better = {}
    for node, rows in nodes.items():
        ids = np.flatnonzero(node_of == node)
        gained = gains(g[ids], h[ids], derivatives.sums(rows), derivatives, options)
        better[node] = best[node].or_better(gained, party, ids, ties=True)
    return better


def _divided(
    tree: Tree, columns: BinnedColumns, best: dict[int, Choice], nodes: Nodes, hosts: Hosts
) -> Generator[Send | Recv, Any, dict[int, np.ndarray]]:
    """The left side of each node that is split, as truth values for its rows; the splits are written into the tree."""
    won = {party: [n for n, choice in best.items() if choice.party == party] for party in range(len(hosts.names) + 1)}
    for party, host in enumerate(hosts.names, 1):
        ids = [np.asarray(best[node].candidate) for node in won[party]]
        yield Send(host, "split", {"id": np.concatenate([*ids, np.zeros(0, np.int64)]).astype(np.int32)})
    sides: dict[int, np.ndarray] = {}
    for node in won[GUEST_PARTY]:
        split = Split.of(columns, nodes[node], np.asarray(best[node].candidate))
        sides[node] = split.left(columns.values[nodes[node]])
        tree.set(node, reference=split.feature, threshold=split.threshold, missing_left=split.missing_left)
    for party, host in enumerate(hosts.names, 1):
        if not won[party]:
            continue
        message = yield Recv(host, "left")
        ends = np.cumsum([len(nodes[node]) for node in won[party]])
        side = np.unpackbits(message["side"], count=int(ends[-1])).astype(bool)
        for node, left, record in zip(won[party], np.split(side, ends[:-1]), message["record"], strict=True):
            sides[node] = left
            tree.set(node, reference=int(record))
    for node in sides:
        tree.set(node, party=int(best[node].party or GUEST_PARTY), gain=best[node].gain)
    return sides


def _shown(nodes: Nodes, people: int, hosts: Hosts) -> Generator[Send | Recv, Any, None]:
    """To each host the node of each person; -1 where it is a leaf."""
    of = np.full(people, -1, np.int16)
    for node, rows in nodes.items():
        of[rows] = node
    for host in hosts.names:
        yield Send(host, "nodes", {"of": of})


def _end(
    tree: Tree, node: int, rows: np.ndarray, derivatives: Derivatives, options: Options, moved: np.ndarray
) -> None:
    moved[rows] = leaf(derivatives.sums(rows), derivatives, options)
    tree.set(node, leaf=float(moved[rows[0]]))
