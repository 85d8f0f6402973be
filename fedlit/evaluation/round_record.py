"""The metrics of one round, collected while its clients return."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fedlit import metric_names
from fedlit.evaluation.direction import Directions
from fedlit.evaluation.evaluation import client_rows
from fedlit.messages.wire import Wire, flatten_message, num_bytes
from fedlit.metric_names import Row
from fedlit.plurals import counted
from fedlit.training.cohort import Cohort, Returned

log = logging.getLogger(__name__)


class RoundRecord:
    """Keeps two vectors (P,), the sums of the updates and of their directions, and a dict of numbers for each client.

    Args:
        directions: of metrics; those that clients declare are added.

    Attributes:
        facts: what was noted of each client that arrived (see `ChunkClient.facts`).
        asked, arrived, lost, idle: numbers of clients, asked = arrived + lost + idle. Lost clients raised an error,
            returned values that are not finite, or had their messages refused; idle clients made no step in one of
            their fits.
        refused: lost clients whose messages were refused.
    """

    def __init__(self, asked: int, bytes_down: int, directions: Directions | None = None):
        self.directions = directions or Directions()
        self.asked, self.bytes_down, self.bytes_up = asked, bytes_down, 0
        self.lost, self.idle, self.arrived, self.refused = 0, 0, 0, 0
        self.facts: list[dict[str, Any]] = []
        self._idle_reason = ""  # of the first idle client
        self._unit_sum: Tensor | None = None
        self._weighted_sum: Tensor | None = None
        self._updates = 0

    @classmethod
    def of(cls, cohort: Cohort, broadcast_bytes: int, directions: Directions | None = None) -> RoundRecord:
        """The record of a round that begins. Every client of the cohort counts as having received its download.

        Args:
            broadcast_bytes: of the broadcast to all clients of the cohort together, as it travels.
        """
        return cls(len(cohort), broadcast_bytes + num_bytes(flatten_message(cohort.downloads)), directions)

    @property
    def returned(self) -> int:
        """Clients that returned in any way."""
        return self.arrived + self.lost + self.idle

    def add(self, chunk: Returned, moved: Returned, arrived: Returned, refusals: Sequence[str]) -> None:
        """Add a chunk; `moved` has the rows of the clients that sent a message, `arrived` those whose messages are
        reduced, `refusals` a sentence for each message that was refused."""
        for sentence in refusals:
            log.warning("%s; the message is refused, and the client counts as lost", sentence)
        self.lost += len(chunk.failures) + len(refusals)
        self.refused += len(refusals)
        self.idle += chunk.moved.count(False)
        if not self._idle_reason:
            self._idle_reason = next((f"client {f['client']}: {f['idle']}" for f in chunk.facts if "idle" in f), "")
        self.arrived += len(arrived.clients)
        for client in arrived.facts:
            self.directions.declared |= client.pop("higher_is_better", {})
        self.facts += arrived.facts
        self.bytes_up += num_bytes(moved.wire)

    def add_trip(self, asked: int, bytes_down: int) -> None:
        """A later trip of the round begins: clients that arrived are asked again.

        Args:
            bytes_down: to each of them.
        """
        self.bytes_down += asked * bytes_down

    def add_answers(self, chunk: Returned) -> None:
        """Add a chunk of a later trip; clients that fail in it are lost."""
        self.bytes_up += num_bytes(chunk.wire)
        self.lost += len(chunk.failures)
        self.arrived -= len(chunk.failures)

    def keep_only(self, clients: Sequence[int]) -> None:
        """Drop the facts of all but these clients, which answered the last trip."""
        answered = frozenset(clients)
        self.facts = [facts for facts in self.facts if facts["client"] in answered]

    def losses(self) -> dict[int, float]:
        """client -> its training loss, of the clients that arrived and trained."""
        losses = {client["client"]: client.get("loss") for client in self.facts}
        return {client: loss for client, loss in losses.items() if loss is not None and math.isfinite(loss)}

    def warn_if_nobody_trained(self, round_number: int) -> None:
        """Warn of a round that asked clients of which none sent anything."""
        if self.arrived or not self.asked:
            return
        idle = [f"{self.idle} made no step ({self._idle_reason})"] if self.idle else []
        lost = [f"{self.lost} lost"] if self.lost else []
        log.warning(
            "round %d: nobody trained, and the server keeps its state; of %s that %s asked, %s",
            round_number,
            counted(self.asked, "client"),
            "was" if self.asked == 1 else "were",
            " and ".join([*idle, *lost]),
        )

    def add_updates(self, messages: Wire, examples: Tensor) -> None:
        """Add decoded messages (K, ...), weighted by `examples` (K, 1), for the mean cosine.

        The cosine is sum_k <d_k / |d_k|, m> / (K |m|), where m is the weighted mean of the updates d_k.
        """
        delta = messages.get("delta.weights")
        if delta is None or delta.dim() != 2 or not delta.is_floating_point():
            return
        delta = delta.float() if delta.element_size() < 4 else delta  # 16 bits overflow in the sums
        norms = delta.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(delta.dtype).tiny)
        units, weighted = (delta / norms).sum(0), (examples.to(delta.dtype) * delta).sum(0)
        self._unit_sum = units if self._unit_sum is None else self._unit_sum + units
        self._weighted_sum = weighted if self._weighted_sum is None else self._weighted_sum + weighted
        self._updates += len(delta)

    def row(self) -> Row:
        """The round's metrics of its cohort, messages and training."""
        row: Row = {
            metric_names.COHORT_ASKED: self.asked,
            metric_names.COHORT_ARRIVED: self.arrived,
            metric_names.COHORT_LOST: self.lost,
            metric_names.COHORT_IDLE: self.idle,
            metric_names.COHORT_REFUSED: self.refused,
            metric_names.BYTES_DOWN: self.bytes_down,
            metric_names.BYTES_UP: self.bytes_up,
        }
        row |= _means(self.facts)
        units, weighted = self._unit_sum, self._weighted_sum
        if units is not None and weighted is not None and 0 < float(weighted.norm()) < math.inf:
            row[metric_names.UPDATE_COSINE] = float(units @ weighted / weighted.norm() / self._updates)
        for name in ("received", "trained"):
            measured = [facts[name] for facts in self.facts if name in facts]
            row |= client_rows(name, measured, better=self.directions.better)
        return row


def _means(facts: list[dict[str, Any]]) -> Row:
    """Means of training loss and logged values, weighted by examples, and the plain mean of the updates' norms."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for client in facts:
        logged = {metric_names.train_log(name): value for name, value in client.get("logged", {}).items()}
        others = {metric_names.fit_loss(fit): loss for fit, loss in client.get("other_losses", {}).items()}
        for name, value in ({metric_names.TRAIN_LOSS: client.get("loss")} | others | logged).items():
            if value is not None and math.isfinite(value):
                sums[name][0] += value * client["examples"]
                sums[name][1] += client["examples"]
        if "update_norm" in client:
            sums[metric_names.UPDATE_NORM][0] += client["update_norm"]
            sums[metric_names.UPDATE_NORM][1] += 1
        for name, value in client.get("stage_notes", {}).items():
            sums[f"uplink/{name}"][0] += value
            sums[f"uplink/{name}"][1] += 1
    row: Row = {name: total / weight for name, (total, weight) in sums.items() if weight}
    skipped = sum(client.get("skipped", 0) for client in facts)
    return row | ({metric_names.SKIPPED_SAMPLES: skipped} if skipped else {})
