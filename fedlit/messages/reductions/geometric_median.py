"""The geometric median: Pillutla et al. 2022 (Robust Aggregation for Federated Learning), algorithm 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fedlit.messages.reductions.by_client import RuleByClient, Weights
from fedlit.messages.reductions.distances import Gram, central_row, gram
from fedlit.messages.reductions.rule import Messages, check_count, check_option

CONVERGED = 1e-10  # a step shorter than this part of the median distance is the last


class GeometricMedian(RuleByClient):
    """The point z with the smallest sum of distances to the messages, sum_i |x_i - z|, by the smoothed Weiszfeld
    algorithm:

        z <- sum_i b_i x_i / sum_i b_i,  b_i = 1 / max(nu', |x_i - z|).

    All clients count the same; the paper weighs them by their numbers of samples, which clients report themselves.
    nu' is `nu` times the median distance from the start, so that the rule does not depend on the scale of the messages.
    The start is no plain mean, which lies far away if one message does: the message with the smallest median distance
    to the others is taken for z, and distances below the median count as the median. Every step is a mean of the
    messages, so distances come from their inner products, once a round.
    """

    excludes: ClassVar[bool] = False

    def __init__(self, iterations: int = 100, nu: float = 1e-6, statistics: str = "same"):
        """
        Args:
            iterations: largest number of steps, 1 or more; fewer if a step is too short to count.
            nu: smoothing, in median distances, above 0.
            statistics: see `RuleByClient`.

        Raises:
            InputError: an option has another value.
        """
        super().__init__(statistics)
        check_count("iterations", iterations, 1)
        check_option("nu", nu, nu > 0, "a number above 0, such as 1e-6")
        self.iterations, self.nu = iterations, nu

    def weigh(self, messages: Messages, keys: Sequence[str], state: Mapping[str, Any]) -> Weights:
        vectors = messages.vectors(list(keys))
        shares = self._weiszfeld(gram(vectors, central_row(vectors)))
        return Weights(shares, report={"largest_share": float(shares.max())})

    def _weiszfeld(self, about: Gram) -> np.ndarray:
        distance = np.sqrt(about.squares)
        scale = float(np.median(distance))
        if scale == 0:  # more than half of the messages are equal, and they are the median
            return _shares(distance == 0)
        if not np.isfinite(scale):
            return _shares(np.isfinite(distance))
        shares = _shares(1 / np.maximum(distance, scale))
        for _ in range(self.iterations):
            towards = about.products @ shares
            squared = about.squares - 2 * towards + shares @ towards
            step = _shares(1 / np.sqrt(np.maximum(squared, (self.nu * scale) ** 2))) - shares
            shares = shares + step
            if step @ about.products @ step <= (CONVERGED * scale) ** 2:
                break
        return np.maximum(shares, 0)


def _shares(numbers: np.ndarray) -> np.ndarray:
    return numbers / numbers.sum()
