"""Nearest-neighbour mixing: Allouah et al. 2023 (Fixing by Mixing), algorithm 2."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions.base import Reduction
from fedlit.messages.reductions.by_client import check_compares_models
from fedlit.messages.reductions.distances import Vectors, squared_distances
from fedlit.messages.reductions.mixing import Mixing
from fedlit.messages.reductions.rule import Messages, check_count, check_option


class Nnm(Mixing):
    """Each message becomes the mean of the n - f messages that are closest to it, itself among them; the inner rule
    reduces these."""

    bound: ClassVar[str] = "2 f + 1"
    mixes_are_clients: ClassVar[bool] = True

    def __init__(self, f: int = 1, inner: Reduction | None = None, statistics: str = "same"):
        """
        Args:
            f: malicious clients in a round, 0 or more; with 0 each message becomes the mean.
            inner: reduces the mixed messages; None: `Mean`.
            statistics: "same": the statistics are mixed as the weights are; "own": by their own distances.

        Raises:
            InputError: an option has another value.
        """
        super().__init__(inner)
        check_count("f", f)
        check_option("statistics", statistics, statistics in ("same", "own"), "same or own")
        self.f, self.statistics = f, statistics

    def least(self, f: int) -> int:
        return 2 * f + 1

    def check(self, plan: MessagePlan) -> None:
        super().check(plan)
        check_compares_models(self, plan)

    def mix(self, messages: Messages) -> tuple[np.ndarray, np.ndarray]:
        matrix = self._nearest(messages.vectors(messages.model_keys))
        if self.statistics == "same" or not messages.statistics_keys:
            return matrix, matrix
        return matrix, self._nearest(messages.vectors(messages.statistics_keys))

    def _nearest(self, vectors: Vectors) -> np.ndarray:
        squared = squared_distances(vectors)
        n = len(squared)
        np.fill_diagonal(squared, -1)  # a message is the first of its neighbours, also among equal ones
        nearest = np.argsort(squared, 1, kind="stable")[:, : n - self.f]
        matrix = np.zeros((n, n))
        np.put_along_axis(matrix, nearest, 1 / (n - self.f), 1)
        return matrix
