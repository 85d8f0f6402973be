"""Clipped updates: Sun et al. 2019 (Can You Really Backdoor Federated Learning?), section 4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fedlit.messages.reductions.by_client import RuleByClient, Weights
from fedlit.messages.reductions.distances import squared_norms
from fedlit.messages.reductions.rule import Messages, check_option


class NormBound(RuleByClient):
    """The mean of the messages after those above a norm tau are scaled down to it, 1/n sum_i x_i / max(1, |x_i| / tau).

    The norm is that of all model vectors of a message together. A client's statistics are scaled as its weights are, or
    to their own norm under `statistics` "own". The paper's noise is left out.
    """

    excludes: ClassVar[bool] = False

    def __init__(self, tau: float | None = None, statistics: str = "same"):
        """
        Args:
            tau: the largest norm, above 0; None: the median of the norms of the round.
            statistics: see `RuleByClient`.

        Raises:
            InputError: an option has another value.
        """
        super().__init__(statistics)
        check_option("tau", tau, tau is None or tau > 0, "a number above 0, or null for the median norm")
        self.tau = tau

    def weigh(self, messages: Messages, keys: Sequence[str], state: Mapping[str, Any]) -> Weights:
        norms = np.sqrt(squared_norms(messages.vectors(list(keys))))
        tau = float(np.median(norms)) if self.tau is None else self.tau
        scales = clip_factors(norms, tau)
        return Weights(scales / len(scales), report={"mean_scale": float(scales.mean())})


def clip_factors(norms: np.ndarray, tau: float) -> np.ndarray:
    """min(1, tau / norm); 0 for an infinite norm.

    >>> clip_factors(np.array([0.0, 1.0, 4.0, np.inf]), 2.0)
    array([1. , 1. , 0.5, 0. ])
    """
    scales = np.ones(len(norms))
    np.divide(tau, norms, out=scales, where=(norms > tau) & np.isfinite(norms))
    return np.where(np.isfinite(norms), scales, 0)
