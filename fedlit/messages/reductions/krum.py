"""Krum and Multi-Krum: Blanchard et al. 2017 (Machine Learning with Adversaries), section 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions.by_client import RuleByClient, Weights
from fedlit.messages.reductions.distances import squared_distances
from fedlit.messages.reductions.rule import Messages, check_count


class MultiKrum(RuleByClient):
    """The mean of the m messages with the lowest scores: s(i) is the sum of |x_i - x_j|^2 over the n - f - 2 messages
    x_j that are closest to x_i.

    Of equal scores the client with the smaller number comes first. m = 1 is `Krum`, m = n - f the default.
    """

    bound: ClassVar[str] = "2 f + 3"

    def __init__(self, f: int = 1, m: int | None = None, statistics: str = "same"):
        """
        Args:
            f: malicious clients in a round, 0 or more.
            m: messages that are averaged, 1 or more; None: n - f of n. A round with fewer than m messages takes all.
            statistics: see `RuleByClient`.

        Raises:
            InputError: an option has another value.
        """
        super().__init__(statistics)
        check_count("f", f)
        if m is not None:
            check_count("m", m, 1)
        self.f, self.m = f, m

    def least(self, f: int) -> int:
        return 2 * f + 3

    def check(self, plan: MessagePlan) -> None:
        super().check(plan)
        if self.m is not None and self.m > plan.expected - self.f:
            raise InputError(
                f"reduction: {type(self).__name__} with m={self.m} and f={self.f} takes more messages than are honest "
                f"among the {plan.expected:g} of a round; write "
                f"{plan.place}.m={max(1, int(plan.expected) - self.f)} or less."
            )

    def weigh(self, messages: Messages, keys: Sequence[str], state: Mapping[str, Any]) -> Weights:
        n = len(messages.clients)
        chosen = np.argsort(krum_scores(squared_distances(messages.vectors(list(keys))), n - self.f - 2), kind="stable")
        chosen = chosen[: n - self.f if self.m is None else self.m]
        factors = np.zeros(n)
        factors[chosen] = 1 / len(chosen)
        return Weights(factors, report={"selected": len(chosen)})


class Krum(MultiKrum):
    """The message with the lowest score: the sum of squared distances to its n - f - 2 closest messages.

    >>> from fedlit.messages.reductions.krum import krum_scores
    >>> x = np.array([0, 1, 2.1, 3.3, 100])
    >>> krum_scores((x[:, None] - x[None, :]) ** 2, 5 - 1 - 2).argmin()
    np.int64(1)
    """

    def __init__(self, f: int = 1, statistics: str = "same"):
        """
        Args:
            f: malicious clients in a round, 0 or more.
            statistics: see `RuleByClient`.

        Raises:
            InputError: an option has another value.
        """
        super().__init__(f, 1, statistics)


def krum_scores(squared: np.ndarray, neighbours: int) -> np.ndarray:
    """(n,) sums of the squared distances (n, n) to the closest others."""
    others = squared + np.diag(np.full(len(squared), np.inf))
    return np.sort(others, 1)[:, :neighbours].sum(1)
