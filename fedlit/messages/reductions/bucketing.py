"""Bucketing: Karimireddy et al. 2022 (Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing), section 4."""

from __future__ import annotations

import math

import numpy as np

from fedlit.messages.reductions.base import Reduction
from fedlit.messages.reductions.mixing import Mixing
from fedlit.messages.reductions.rule import Messages, check_count


class Bucketing(Mixing):
    """Clients are drawn into buckets of s, and the inner rule gets the mean of each bucket: n / s messages that differ
    less than those of the clients.

    Up to f buckets hold a malicious client, so the inner rule needs the same f as without buckets, among fewer
    messages. The last bucket has the clients that are left, and is their mean. Each round draws again.
    """

    def __init__(self, s: int = 2, inner: Reduction | None = None):
        """
        Args:
            s: clients in a bucket, 1 or more; 1 is the inner rule.
            inner: reduces the means of the buckets; None: `Mean`.

        Raises:
            InputError: an option has another value.
        """
        super().__init__(inner)
        check_count("s", s, 1)
        self.s = s

    def mixes(self, messages: float) -> float:
        return math.ceil(messages / self.s)

    def mix(self, messages: Messages) -> tuple[np.ndarray, np.ndarray]:
        n = len(messages.clients)
        order = self.round.generator("reduction.bucketing").permutation(n)
        matrix = np.zeros((math.ceil(n / self.s), n))
        for row, start in zip(matrix, range(0, n, self.s), strict=True):
            bucket = order[start : start + self.s]
            row[bucket] = 1 / len(bucket)
        return matrix, matrix
