"""The server optimiser of FedOpt (Reddi et al. 2021, algorithm 1), by any optimiser of torch.

With Delta_t = sum_k p_k (x^k_t - x_t), the weighted mean of the clients' updates, -Delta_t is a pseudo-gradient:
x_{t+1} = ServerOpt(x_t, -Delta_t). torch.optim.SGD with momentum beta is FedAvgM: v = beta v + Delta_t,
x_{t+1} = x_t + eta v, with eta the learning rate.

torch's adaptive optimisers differ from the paper's algorithm 2. Adagrad begins at v = 0, in place of tau^2 or more.
Adam does so, too, and corrects the bias of its means: its first step is about sqrt(1 - beta_2) / (1 - beta_1) times
that of FedAdam. The paper's are the algorithms `FedAdagrad`, `FedAdam` and `FedYogi`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from fedlit.device_copies import on_device_of
from fedlit.errors import InputError, one_line
from fedlit.learning_rates import scale_learning_rates
from fedlit.model_vectors import Model, tree_map

OptimizerFactory = Callable[[Sequence[nn.Parameter]], torch.optim.Optimizer]


def server_step(
    factory: OptimizerFactory | None,
    model: Model,
    delta: Model,
    state: dict[str, Any] | None,
    lr_factor: float = 1.0,
) -> tuple[Model, dict[str, Any]]:
    """One step of the weights (P,) along `delta`.

    The statistics (S,) move by their plain mean: an adaptive step along a running variance could make it negative.

    Args:
        factory: makes the optimiser; None adds `delta`.
        state: the optimiser's state after the round before.
        lr_factor: of the optimiser's learning rate; without an optimiser, of `delta`.

    Returns:
        The new model, and the optimiser's new state (empty if it keeps none).
    """
    delta = tree_map(lambda d, x: d.to(x), delta, model)  # a stage may decode to another type
    if factory is None:
        return Model(model.weights + lr_factor * delta.weights, model.statistics + delta.statistics), {}
    weights = nn.Parameter(model.weights.clone())
    optimizer = factory([weights])
    scale_learning_rates([optimizer], [], lr_factor)
    if state:
        copied = {k: v.clone() if torch.is_tensor(v) else v for k, v in state.items()}
        optimizer.state[weights] = on_device_of(weights, copied, optimizer.param_groups[0])
    weights.grad = -delta.weights
    optimizer.step()
    return Model(weights.detach(), model.statistics + delta.statistics), dict(optimizer.state[weights])


def check_server_optimizer(factory: OptimizerFactory | None) -> None:
    """Try one step of two numbers, before the run: the first true one comes after a round of training.

    Raises:
        InputError: the optimiser refuses its settings, or has no step along a dense gradient of a vector.
    """
    if factory is None:
        return
    if not callable(factory):
        raise InputError(
            "aggregator.server_optimizer names no class; write optimizer@aggregator.server_optimizer=sgd, too."
        )
    model = Model(torch.zeros(2), torch.zeros(0))
    try:
        _, state = server_step(factory, model, model, None)
        server_step(factory, model, model, state)
    except Exception as error:
        raise InputError(
            f"aggregator.server_optimizer cannot step a vector ({one_line(error)}); change its keys, or write "
            "optimizer@aggregator.server_optimizer=adam."
        ) from error
