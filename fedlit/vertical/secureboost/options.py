"""The options of `protocol=secureboost`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Options:
    """What all parties know of the trees to grow.

    Args:
        depth: levels of splits in a tree, at most 10.
        lr: the factor of each tree's leaves.
        bins: quantile bins of a column.
        l2: lambda, the penalty of leaves.
        min_child_weight: the least sum of h on each side of a split.
        min_gain: gamma, the gain that a split has to exceed.
        guest_first: the first trees, which the guest grows alone: the paper's Reduced-Leakage SecureBoost, against
            what nodes show of the labels.
        missing_party: what predictions are where a host is missing: "refuse", or "guest": by trees of the guest alone,
            which it grows beside the joint ones, without a message.
        absent: hosts that are missing at prediction.
        leak: "instance_space" measures what the nodes of a tree show to the hosts about the labels.
        known_labels: the labels that a host is assumed to know in this attack.
    """

    depth: int = 5
    lr: float = 0.3
    bins: int = 32
    l2: float = 1.0
    min_child_weight: float = 1.0
    min_gain: float = 0.0
    guest_first: int = 0
    missing_party: Literal["refuse", "guest"] = "refuse"
    absent: Sequence[str] = ()
    leak: Literal["instance_space"] | None = None
    known_labels: int = 100
