"""What was measured after a round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedlit.evaluation.tally import Totals
from fedlit.metric_names import PERSONAL, USED, Row, personal_test_metric, validation_metric


@dataclass
class Evaluated:
    """
    Attributes:
        row: the metrics.
        pictures: arrays by name.
        clients: client -> "global" and "used" -> the metrics of that model on its test data; those on its validation
            data are named `validation_<metric>`.
    """

    row: Row = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    clients: dict[int, dict[str, Totals]] = field(default_factory=dict)
    are_personal: bool = False

    def add(
        self, model: str, clients: Sequence[int], tests: Sequence[Totals], validations: Sequence[Totals] = ()
    ) -> None:
        """Note the metrics of one model a client."""
        for client, totals in zip(clients, tests, strict=True):
            named = {personal_test_metric(name): value for name, value in totals.items()}
            self.clients.setdefault(client, {})[model] = named
        for client, totals in zip(clients, validations, strict=False):
            named = {validation_metric(name): value for name, value in totals.items()}
            self.clients[client][model] = named | self.clients[client][model]

    def lines(self, facts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The facts of the clients that trained, with the metrics of all that were measured, by number.

        A personal model stands under "personal" and "used", as in the row.
        """
        lines: dict[int, dict[str, Any]] = {}
        for client, models in self.clients.items():
            personal = {PERSONAL: models[USED]} if self.are_personal and USED in models else {}
            lines[client] = {"client": client, **models, **personal}
        for noted in facts:
            lines[noted["client"]] = noted | lines.get(noted["client"], {})
        return [lines[client] for client in sorted(lines)]
