"""A torch optimiser on the server: the mean update is its pseudo-gradient (Reddi et al. 2021, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from fedlit.model_vectors import Model

OptimizerFactory = Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]


def server_step(
    factory: OptimizerFactory | None, model: Model, delta: Model, state: dict[str, Any] | None
) -> tuple[Model, dict[str, Any]]:
    """One step of the weights along `delta`, and the optimiser's new state (empty where it keeps none).

    The statistics move by their plain mean: an adaptive step along a running variance could make it negative.
    """
    if factory is None:
        return model + delta, {}
    weights = nn.Parameter(model.weights.clone())
    optimizer = factory([weights])
    if state:
        optimizer.state[weights] = {k: v.clone() if torch.is_tensor(v) else v for k, v in state.items()}
    weights.grad = -delta.weights
    optimizer.step()
    return Model(weights.detach(), model.statistics + delta.statistics), dict(optimizer.state[weights])
