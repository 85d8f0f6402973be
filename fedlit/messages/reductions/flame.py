"""FLAME: Nguyen et al. 2022 (FLAME: Taming Backdoors in Federated Learning), algorithm 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions.by_client import RuleByClient, Weights
from fedlit.messages.reductions.distances import gram, squared_norms
from fedlit.messages.reductions.fltrust import broadcast_model, check_updates
from fedlit.messages.reductions.norm_bound import clip_factors
from fedlit.messages.reductions.rule import Messages, check_option


class Flame(RuleByClient):
    """The clients' models in the largest cluster by angle are clipped, averaged, and get noise.

    HDBSCAN clusters the models W_i = x + x_i by their cosine distances, with clusters of more than half of the clients;
    the others are rejected. The update x_i of each of the L models that are left is clipped to S, the median norm of
    all updates, and the result is 1/L sum_i x_i min(1, S / |x_i|) + N(0, (lambda S)^2). Statistics and numbers get no
    noise. Where there is no cluster, the server keeps its state.
    """

    bound: ClassVar[str] = "3"

    def __init__(self, lam: float = 0.001, statistics: str = "same"):
        """
        Args:
            lam: lambda, noise in median norms, 0 or more.
            statistics: see `RuleByClient`.

        Raises:
            InputError: an option has another value.
        """
        super().__init__(statistics)
        check_option("lam", lam, lam >= 0, "a number of at least 0")
        self.lam = lam

    def least(self, f: int) -> int:
        return 3

    def check(self, plan: MessagePlan) -> None:
        super().check(plan)
        check_updates(plan, "Flame")

    def weigh(self, messages: Messages, keys: Sequence[str], state: Mapping[str, Any]) -> Weights:
        model, vectors = broadcast_model(self.round.broadcast, "Flame"), messages.vectors(list(keys))
        received = model.statistics if keys[0].endswith(".statistics") else model.weights
        norms = np.sqrt(squared_norms(vectors))
        accepted = majority(cosine_distances(gram(vectors, [-received]).products))
        bound = float(np.median(norms))
        scales = accepted * clip_factors(norms, bound)
        report = {
            "selected": int(accepted.sum()),
            "mean_scale": float(scales.sum() / max(1, accepted.sum())),
            "noise_std": self.lam * bound if np.isfinite(bound) else 0.0,
        }
        return Weights(scales / max(1, accepted.sum()), report=report)

    def complete(self, key: str, reduced: Tensor, weights: Weights) -> Tensor:
        noise = self.round.generator("reduction.flame", key).normal(
            0, weights.report["noise_std"], tuple(reduced.shape)
        )
        return reduced + torch.from_numpy(noise).to(reduced, non_blocking=True)


def cosine_distances(products: np.ndarray) -> np.ndarray:
    """(n, n) 1 - cos from inner products; 1 where a norm is 0."""
    norms = np.sqrt(products.diagonal())
    over = np.outer(norms, norms)
    distances = np.clip(1 - np.divide(products, over, out=np.zeros_like(products), where=over > 0), 0, 2)
    np.fill_diagonal(distances, 0)
    return distances


def majority(distances: np.ndarray) -> np.ndarray:
    """(n,) bools: the clients of the cluster of more than half of them, by HDBSCAN; all False without one."""
    from sklearn.cluster import HDBSCAN  # takes a second to import

    clusters = HDBSCAN(
        min_cluster_size=len(distances) // 2 + 1,
        min_samples=1,
        allow_single_cluster=True,
        metric="precomputed",
        copy=True,
    )
    return clusters.fit(distances).labels_ == 0
