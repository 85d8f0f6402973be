"""What parties and columns contribute: the gain and the number of their splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fedlit.vertical.party import Facts
from fedlit.vertical.party_data import GUEST
from fedlit.vertical.secureboost.trees import GUEST_PARTY, Trees


def party_importances(trees: Trees, hosts: Sequence[str]) -> Facts:
    """Over all trees: `importance/<party>/gain` and `importance/<party>/count`."""
    facts = {}
    for number, party in enumerate([GUEST, *hosts]):
        splits = trees["party"] == number
        facts[f"importance/{party}/gain"] = float(trees["gain"][splits].sum())
        facts[f"importance/{party}/count"] = float(splits.sum())
    return facts


def column_importances(columns: Sequence[str], trees: Trees) -> dict[str, Any]:
    """Of the guest's D columns over all trees: `column` with their names, `gain` (D,) and `count` (D,)."""
    splits = trees["party"] == GUEST_PARTY
    feature = trees["reference"][splits]
    gain = torch.zeros(len(columns), dtype=torch.float64).index_add(0, feature, trees["gain"][splits])
    return {"column": list(columns), "gain": gain, "count": torch.bincount(feature, minlength=len(columns))}
