"""The guest's trees: references to splits of all parties, and leaves."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

LEAF, GUEST_PARTY = -1, 0
"""The `party` of a leaf, and of the guest's nodes; the first host is 1."""

_TYPES: dict[str, Any] = {
    "party": np.int64,
    "reference": np.int64,
    "threshold": np.float64,
    "missing_left": np.bool_,
    "gain": np.float64,
    "leaf": np.float64,
}


class Tree:
    """A tree that grows. Node i has the children 2 i + 1 and 2 i + 2.

    Attributes:
        nodes: arrays (M,), M = 2^(depth + 1) - 1:
            party: the owner of the split; -1 for a leaf.
            reference: the guest's column, or the record that a host keeps of its split.
            threshold, missing_left: of the guest's splits.
            gain: of the split.
            leaf: what a leaf adds to the margin, lr times its weight.
    """

    def __init__(self, depth: int):
        self.nodes = {name: np.zeros(2 ** (depth + 1) - 1, kind) for name, kind in _TYPES.items()}
        self.nodes["party"][:] = LEAF

    def set(self, node: int, **values: float) -> None:
        for name, value in values.items():
            self.nodes[name][node] = value


Trees = dict[str, torch.Tensor]
"""The arrays of `Tree.nodes`, (T, M), as a state keeps them."""


def no_trees(depth: int) -> Trees:
    return {name: torch.from_numpy(array[None][:0].copy()) for name, array in Tree(depth).nodes.items()}


def with_tree(trees: Trees, tree: Tree) -> Trees:
    """A new table with one tree more."""
    return {name: torch.cat([trees[name], torch.from_numpy(array[None])]) for name, array in tree.nodes.items()}


def count(trees: Trees) -> int:
    return len(trees["party"])


def arrays(trees: Trees, first: int = 0) -> dict[str, np.ndarray]:
    """The trees from number `first`, from 0, for reading."""
    return {name: table[first:].numpy() for name, table in trees.items()}
