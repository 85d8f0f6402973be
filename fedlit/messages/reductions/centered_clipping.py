"""Centred clipping: Karimireddy et al. 2021 (Learning from History for Byzantine Robust Optimization), algorithm 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from fedlit.messages.reductions.by_client import RuleByClient, Weights
from fedlit.messages.reductions.distances import Gram, gram
from fedlit.messages.reductions.norm_bound import clip_factors
from fedlit.messages.reductions.rule import Messages, check_count, check_option


class CenteredClipping(RuleByClient):
    """The messages move a centre v, and each moves it by at most tau / n:

        v <- v + 1/n sum_i (x_i - v) min(1, tau / |x_i - v|).

    v begins at the result of the last round, which the server keeps, and at 0 in the first. The paper's clients send
    their momentum.

    The result is v c + sum_i c_i x_i with c = 1 - sum_i c_i. Statistics and numbers of the messages are averaged with
    the c_i over their sum, without v: the change of a running variance that is repeated could make it negative.
    """

    excludes: ClassVar[bool] = False

    def __init__(self, tau: float = 10.0, iterations: int = 1, statistics: str = "same"):
        """
        Args:
            tau: the largest distance that counts, above 0.
            iterations: steps of the centre in a round, 1 or more.
            statistics: see `RuleByClient`.

        Raises:
            InputError: an option has another value.
        """
        super().__init__(statistics)
        check_option("tau", tau, tau > 0, "a number above 0")
        check_count("iterations", iterations, 1)
        self.tau, self.iterations = tau, iterations

    def weigh(self, messages: Messages, keys: Sequence[str], state: Mapping[str, Any]) -> Weights:
        centre: dict[str, Tensor] = state.get("centre", {})
        about = gram(messages.vectors(list(keys)), [centre[key].reshape(-1) for key in keys] if centre else None)
        factors, scales = self._clipped(about)
        return Weights(factors, scales_statistics=False, report={"mean_scale": float(scales.mean())})

    def _clipped(self, about: Gram) -> tuple[np.ndarray, np.ndarray]:
        """The factors of the messages, and the factors by which the last step clips them."""
        n = len(about.squares)
        factors, scales = np.zeros(n), np.ones(n)
        for _ in range(self.iterations):
            towards = about.products @ factors
            squared = np.maximum(about.squares - 2 * towards + factors @ towards, 0)
            scales = clip_factors(np.sqrt(squared), self.tau)
            factors = (1 - scales.mean()) * factors + scales / n
        return factors, scales

    def complete(self, key: str, reduced: Tensor, weights: Weights) -> Tensor:
        centre = self.state.get("weights", {}).get("centre", {})
        return reduced + (1 - float(weights.factors.sum())) * centre[key].to(reduced) if centre else reduced

    def keep(self, weights: Weights, reduced: Mapping[str, Tensor]) -> dict[str, Any]:
        return {"centre": dict(reduced)}
