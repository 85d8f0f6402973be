"""Synthetic(alpha, beta): a classification whose rule and whose inputs differ from site to site."""

from __future__ import annotations

import numpy as np
import torch

from fedlit.data.samples import TensorSamples
from fedlit.data.source import DataSource
from fedlit.randomness import generator

FEATURES, CLASSES = 60, 10


def synthetic(
    alpha: float = 1.0,
    beta: float = 1.0,
    sites: int = 30,
    iid: bool = False,
    size_log_mean: float = 4.0,
    size_log_std: float = 2.0,
    min_size: int = 50,
    test_fraction: float = 0.1,
    seed: int = 0,
) -> DataSource:
    """The data of Li et al. 2020, "Federated optimization in heterogeneous networks", section 5.1.

    Site k labels its inputs by `argmax(W_k x + b_k)` with entries `W_k, b_k ~ N(u_k, 1)`, `u_k ~ N(0, alpha)`, and
    draws `x ~ N(v_k, Sigma)` with `Sigma_jj = j^-1.2`, entries `v_k ~ N(B_k, 1)`, `B_k ~ N(0, beta)`. As in the
    authors' code, alpha and beta are standard deviations, and `min_size` is added to each site's log-normal size.

    Args:
        alpha: how much the sites' rules differ.
        beta: how much the sites' inputs differ.
        sites: S, the natural clients.
        iid: one rule for all sites, `W, b ~ N(0, 1)`, and `v_k = 0`; alpha and beta are not used.
        size_log_mean, size_log_std: of the logarithm of a site's size, in samples.
        test_fraction: of each site's samples.
        seed: of the data set itself; the run's seed does not change it.
    """
    variance = np.arange(1, FEATURES + 1) ** -1.2
    shared = generator("synthetic", seed, "rule")
    rule = shared.normal(0, 1, (FEATURES, CLASSES)), shared.normal(0, 1, CLASSES)
    train: list[tuple[np.ndarray, np.ndarray]] = []
    test: list[tuple[np.ndarray, np.ndarray]] = []
    for site in range(sites):  # a stream for each: a site is the same whatever the number of sites
        rng = generator("synthetic", seed, "site", site)
        size = int(rng.lognormal(size_log_mean, size_log_std)) + min_size
        centre = np.zeros(FEATURES)
        weight, bias = rule
        if not iid:
            u, shift = rng.normal(0, alpha), rng.normal(0, beta)
            weight, bias = rng.normal(u, 1, (FEATURES, CLASSES)), rng.normal(u, 1, CLASSES)
            centre = rng.normal(shift, 1, FEATURES)
        x = rng.normal(centre, np.sqrt(variance), (size, FEATURES))
        y = (x @ weight + bias).argmax(1)
        kept = size - max(1, round(test_fraction * size)) if test_fraction else size
        train.append((x[:kept], y[:kept]))
        test.append((x[kept:], y[kept:]))
    first, second = (
        TensorSamples(
            torch.from_numpy(np.concatenate([x for x, _ in part]).astype(np.float32)),
            torch.from_numpy(np.concatenate([y for _, y in part])),
        )
        for part in (train, test)
    )
    owners = [np.repeat(np.arange(sites), [len(y) for _, y in part]) for part in (train, test)]
    return DataSource("synthetic", first, second, CLASSES, (FEATURES,), owners[0], owners[1])
