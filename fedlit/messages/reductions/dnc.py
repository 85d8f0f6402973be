"""Divide and conquer: Shejwalkar, Houmansadr 2021 (Manipulating the Byzantine), algorithm 2."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fedlit.messages.reductions.by_client import RuleByClient, Weights
from fedlit.messages.reductions.columns import wide
from fedlit.messages.reductions.distances import Vectors, read
from fedlit.messages.reductions.rule import Messages, check_count, check_option


class Dnc(RuleByClient):
    """Removes the messages that stand out along the direction of largest variance.

    In each iteration, some coordinates are drawn, the messages are centred by their mean, and the score of a message is
    the square of its projection on the first right singular vector. The n - c f lowest scores are good. The result is
    the mean of the messages that are good in all iterations; where there is none, the server keeps its state.
    """

    bound: ClassVar[str] = "2 f + 1, and more than c f"

    def __init__(
        self, f: int = 1, c: float = 1.0, iterations: int = 5, coordinates: int = 10000, statistics: str = "same"
    ):
        """
        Args:
            f: malicious clients in a round, 0 or more; 0 is the mean.
            c: messages that an iteration removes for each malicious client, above 0.
            iterations: 1 or more.
            coordinates: coordinates of an iteration, 1 or more; all where there are no more.
            statistics: see `RuleByClient`.

        Raises:
            InputError: an option has another value.
        """
        super().__init__(statistics)
        check_count("f", f)
        check_option("c", c, c > 0, "a number above 0")
        check_count("iterations", iterations, 1)
        check_count("coordinates", coordinates, 1)
        self.f, self.c, self.iterations, self.coordinates = f, c, iterations, coordinates

    def least(self, f: int) -> int:
        return max(2 * f, math.ceil(self.c * f)) + 1

    def weigh(self, messages: Messages, keys: Sequence[str], state: Mapping[str, Any]) -> Weights:
        vectors, n = messages.vectors(list(keys)), len(messages.clients)
        columns = sum(rows.shape[1] for rows in vectors)
        rng = self.round.generator("reduction.dnc", keys[0])
        good = np.ones(n, bool)
        for _ in range(self.iterations):
            drawn = np.sort(rng.choice(columns, min(self.coordinates, columns), replace=False, shuffle=False))
            order = np.argsort(outlier_scores(read(_columns(vectors, drawn))), kind="stable")
            good[order[n - math.ceil(self.c * self.f) :]] = False
        return Weights(good / max(1, good.sum()), report={"selected": int(good.sum())})


def outlier_scores(rows: np.ndarray) -> np.ndarray:
    """(n,) squares of the projections of rows (n, b), less their mean, on the first right singular vector; up to a
    common factor."""
    largest = np.abs(rows).max(initial=0)
    rows = rows / largest if largest > 0 else rows
    rows = rows - rows.mean(0)
    values, vectors = np.linalg.eigh(rows @ rows.T)
    return values[-1] * vectors[:, -1] ** 2


def _columns(vectors: Vectors, drawn: np.ndarray) -> Tensor:
    """(n, b) some columns of the vectors, by ascending number."""
    chosen, first = [], 0
    for rows in vectors:
        local = drawn[(drawn >= first) & (drawn < first + rows.shape[1])] - first
        chosen.append(wide(rows.index_select(1, torch.from_numpy(local).to(rows.device, non_blocking=True))))
        first += rows.shape[1]
    return torch.cat(chosen, 1)
