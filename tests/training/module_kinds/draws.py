"""Random draws within a step."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from tests.training.module_kinds.case import Case, looped, loss_of, step


def noisy(self: Any, batch: Any, batch_idx: int) -> Any:
    x, y = batch
    x = x + 0.1 * torch.randn_like(x) + torch.empty_like(x).normal_(0, 0.1) + 0.1 * torch.rand(x.shape)
    return F.cross_entropy(self(x * torch.bernoulli(torch.full_like(x, 0.9))), y)


def mixup(self: Any, batch: Any, batch_idx: int) -> Any:
    x, y = batch
    share, other = torch.rand(1), torch.randperm(len(x))
    out = self(share * x + (1 - share) * x[other])
    return share.mean() * F.cross_entropy(out, y) + (1 - share.mean()) * F.cross_entropy(out, y[other])


def beta_mixup(self: Any, batch: Any, batch_idx: int) -> Any:
    share = torch.distributions.Beta(0.4, 0.4).sample()
    return F.cross_entropy(self(share * batch[0]), batch[1])


def late(draw: Any) -> Any:
    """Draws in the second epoch only."""
    return lambda self, batch, batch_idx: loss_of(self, batch) * (1 + (draw(self) if self.current_epoch else 0))


DRAWS: dict[str, Case] = {
    "noise": step(noisy),
    "mixup": step(mixup),
    "mixup by a beta distribution": looped(step(beta_mixup), "draws"),
    "numpy draws": looped(step(lambda s, batch, batch_idx: loss_of(s, batch) * np.random.rand()), "draws"),
    "python draws": looped(step(lambda s, batch, batch_idx: loss_of(s, batch) * random.random()), "draws"),
    "numpy draws in later epochs": looped(step(late(lambda self: np.random.rand())), "draws"),
    "dropout in later epochs": looped(step(late(lambda self: F.dropout(torch.ones(9), 0.5).mean()))),
    "a numpy generator of its own": looped(
        step(lambda s, b, batch_idx: loss_of(s, b) * s.rng.random(), rng=lambda: np.random.default_rng(3)), "rng"
    ),
    "a generator with rare effects": looped(
        step(lambda s, b, i: loss_of(s, b) * (1 + (s.rng.random() < 1e-9)), rng=lambda: random.Random(3)), "rng"
    ),
}
