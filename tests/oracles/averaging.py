"""FedAvg and FedProx in plain torch, for a network of two linear layers with a ReLU between.

The order of the batches is an argument; everything else is written out here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Weights = dict[str, Tensor]


def loss_of(w: Weights, x: Tensor, y: Tensor) -> Tensor:
    """Mean cross entropy."""
    hidden = (x @ w["body.weight"].T + w["body.bias"]).clamp(min=0)
    logits = hidden @ w["head.weight"].T + w["head.bias"]
    return (torch.logsumexp(logits, 1) - logits[torch.arange(len(y)), y]).mean()


def gradient(w: Weights, x: Tensor, y: Tensor) -> Weights:
    leaves = {n: t.clone().requires_grad_() for n, t in w.items()}
    gradients = torch.autograd.grad(loss_of(leaves, x, y), list(leaves.values()))
    return dict(zip(leaves, gradients, strict=True))


def train(
    start: Weights,
    x: Tensor,
    y: Tensor,
    batches: Sequence[Sequence[int]],
    lr: float,
    momentum: float = 0.0,
    decay: float = 0.0,
    mu: float = 0.0,
) -> Weights:
    """SGD over the batches, with FedProx's pull towards the start."""
    w = dict(start)
    speed = {n: torch.zeros_like(t) for n, t in w.items()}
    for batch in batches:
        g = gradient(w, x[batch], y[batch])
        for n in w:
            speed[n] = momentum * speed[n] + g[n] + mu * (w[n] - start[n]) + decay * w[n]
        w = {n: w[n] - lr * speed[n] for n in w}
    return w


def average(
    start: Weights, x: Tensor, y: Tensor, rounds: Sequence[Mapping[int, Sequence[Sequence[int]]]], **options: float
) -> Weights:
    """Rounds of local training and the mean weighted by samples; `rounds` has client -> batches of its samples."""
    w = start
    for orders in rounds:
        counts = {c: len({i for batch in batches for i in batch}) for c, batches in orders.items()}
        models = {c: train(w, x, y, batches, **options) for c, batches in orders.items()}
        w = {n: sum(counts[c] * models[c][n] for c in models) / sum(counts.values()) for n in w}
    return w
