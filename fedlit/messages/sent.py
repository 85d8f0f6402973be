"""A chunk of messages as the server's half of a stage sees it: the clients that sent them, and which are refused."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from fedlit.model_vectors import Layout
from fedlit.round import Round


@dataclass
class Sent:
    """K messages on their way to the reduction.

    >>> sent = Sent([4, 7, 9], Round(number=1, seed=0, cohort=[4, 7, 9], clients=10))
    >>> sent.refuse([1], "its seal is broken")
    >>> sent.refusals
    {1: 'its seal is broken'}

    Attributes:
        clients: K numbers.
        round: the round; a `ServerRound` on the server.
        layout: positions of the module's tensors in a Model; None in tests.
        server: what the server keeps for the stage (`Stage.server_state`).
        refusals: row -> why its message is refused.
    """

    clients: list[int]
    round: Round
    layout: Layout | None = None
    server: dict[str, Any] = field(default_factory=dict)
    refusals: dict[int, str] = field(default_factory=dict)

    def refuse(self, rows: Iterable[int] | torch.Tensor, why: str) -> None:
        """Refuse the messages in some rows: they are not reduced, and their clients count as lost and keep their
        states. `decode` still returns K rows; those of refused messages are not used.

        Args:
            rows: their numbers, from 0 to K - 1, or a tensor (K,) of bools.
            why: for the log, such as "its seal is broken".
        """
        if isinstance(rows, torch.Tensor) and rows.dtype == torch.bool:
            rows = rows.reshape(-1).nonzero()[:, 0]
        numbers = rows.tolist() if isinstance(rows, torch.Tensor) else rows
        for row in numbers:
            self.refusals.setdefault(int(row), why)
