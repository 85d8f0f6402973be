"""Inner product manipulation: Xie et al. 2020."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedlit.attacks.collusion import CollusiveAttack, Knowledge, Known
from fedlit.messages.wire import Wire


class InnerProductManipulation(CollusiveAttack):
    """All malicious clients send m = -epsilon / H sum_i m_i over the H messages that they know (Xie et al. 2020, Fall
    of Empires, section 4): the mean message turned round, so that the inner product with it can become negative. A
    small epsilon hides among the honest ones; epsilon = -1 is their mean."""

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        knowledge: Knowledge = "all",
        epsilon: float = 0.5,
    ):
        """
        Args:
            clients, rounds, knowledge: see `CollusiveAttack`.
            epsilon: factor of the turned mean.
        """
        super().__init__(clients, rounds, knowledge)
        self.epsilon = epsilon

    def agree(self, known: Known, state: dict[str, Any]) -> tuple[Wire, dict[str, Any]]:
        return {key: -self.epsilon * m.mean(0, keepdim=True) for key, m in known.messages.items()}, state
