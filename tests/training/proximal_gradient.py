"""FedProx by a `gradient_fn`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fedlit.aggregators import Aggregator
from fedlit.client import Client


class ProximalGradient(Aggregator):
    def __init__(self, mu: float):
        self.mu = mu

    def local_update(self, client: Client, received: Any, state: Any) -> Any:
        def proximal(step: Any, w: Tensor, x: Tensor) -> Tensor:
            return torch.autograd.grad(step.loss(w).sum(), w)[0] + self.mu * (w - x)

        x = received["model"]
        return {"delta": client.fit(x, gradient_fn=proximal, extras=(x.weights,)).model - x}, state
