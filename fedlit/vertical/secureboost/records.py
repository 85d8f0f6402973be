"""The splits that a host keeps, with how often each of its columns was used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from fedlit.vertical.secureboost.candidates import Split

Records = dict[str, Any]
"""Of R splits, which the guest names by their positions, and of D columns:

    feature, threshold, missing_left: (R,) tensors.
    column: the names of the columns.
    count, people: (D,) int64: the splits of each column, and the training people that they divided.

The gain of a split is the guest's: it would tell the host of the labels.
"""


def first_records(columns: Sequence[str]) -> Records:
    return {
        "feature": torch.zeros(0, dtype=torch.int64),
        "threshold": torch.zeros(0, dtype=torch.float64),
        "missing_left": torch.zeros(0, dtype=torch.bool),
        "column": list(columns),
        "count": torch.zeros(len(columns), dtype=torch.int64),
        "people": torch.zeros(len(columns), dtype=torch.int64),
    }


def with_splits(records: Records, splits: Sequence[tuple[Split, int]]) -> Records:
    """New records, with these splits and the people that each divides."""
    new = {
        name: torch.cat([records[name], torch.tensor([getattr(split, name) for split, _ in splits], dtype=kept.dtype)])
        for name, kept in records.items()
        if name in ("feature", "threshold", "missing_left")
    }
    count, people = records["count"].clone(), records["people"].clone()
    for split, divided in splits:
        count[split.feature] += 1
        people[split.feature] += divided
    return {**records, **new, "count": count, "people": people}
