"""One round in numbers, collected while its clients come back."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from fedlit.evaluation.evaluation import client_rows
from fedlit.messages.wire import Wire, flatten_message, num_bytes
from fedlit.tracking.logger import Row
from fedlit.training.base import Returned
from fedlit.training.cohort import Cohort


class RoundRecord:
    """Streams: a cohort of any size costs one vector (the sum of unit updates, for the mean cosine)."""

    def __init__(self, asked: int, down_bytes: int):
        self.asked, self.broadcast, self.up = asked, down_bytes, 0
        self.failed, self.dropped, self.arrived = 0, 0, 0
        self.facts: list[dict[str, Any]] = []
        self.units: Tensor | None = None
        self.total: Tensor | None = None
        self.updates = 0

    @classmethod
    def of(cls, cohort: Cohort) -> RoundRecord:
        """Of a round that begins: everything is on its way down."""
        return cls(
            len(cohort),
            num_bytes(flatten_message(cohort.broadcast)) * len(cohort)
            + sum(num_bytes(flatten_message(downloads)) for downloads in cohort.downloads),
        )

    def came(self, chunk: Returned, moved: Returned) -> None:
        """A chunk that came back, and those of it that made a step."""
        self.failed += len(chunk.failures)
        self.dropped += len(chunk.clients) - len(moved.clients)
        self.arrived += len(moved.clients)
        self.facts += moved.facts
        self.up += num_bytes(moved.wire) if moved.clients else 0

    def message(self, wire: Wire, examples: Tensor) -> None:
        """Decoded messages, for the cosine of the updates to their weighted mean."""
        delta = wire.get("delta.weights")
        if delta is None or delta.dim() != 2:
            return
        norms = delta.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(delta.dtype).tiny)
        units, total = (delta / norms).sum(0), (examples.to(delta.dtype) * delta).sum(0)
        self.units = units if self.units is None else self.units + units
        self.total = total if self.total is None else self.total + total
        self.updates += len(delta)

    def row(self) -> Row:
        found: Row = {
            "cohort/asked": self.asked,
            "cohort/arrived": self.arrived,
            "cohort/lost": self.failed,
            "cohort/idle": self.dropped,
            "comm/bytes_down": self.broadcast,
            "comm/bytes_up": self.up,
        }
        found |= _means(self.facts)
        if self.units is not None and self.total is not None and float(self.total.norm()) > 0:
            found["update/cosine"] = float(self.units @ self.total / self.total.norm() / self.updates)
        for name in ("received", "trained"):
            found |= client_rows(name, [f[name] for f in self.facts if name in f])
        return found


def _means(facts: list[dict[str, Any]]) -> Row:
    """Training loss and logged values, weighted by examples; the update's norm, plain."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for one in facts:
        named = {"train/loss": one.get("loss")} | {f"train/log/{n}": v for n, v in one.get("logged", {}).items()}
        for name, value in named.items():
            if value is not None and math.isfinite(value):
                sums[name][0] += value * one["examples"]
                sums[name][1] += one["examples"]
        if "update_norm" in one:
            sums["update/norm"][0] += one["update_norm"]
            sums["update/norm"][1] += 1
    row: Row = {name: total / weight for name, (total, weight) in sums.items() if weight}
    skipped = sum(one.get("skipped", 0) for one in facts)
    return row | ({"train/skipped_samples": skipped} if skipped else {})
