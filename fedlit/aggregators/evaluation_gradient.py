"""The gradient of a client's loss over all its training samples, in evaluation mode."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlit.client import Client, Step
from fedlit.model_vectors import Model


def evaluation_gradient(client: Client, model: Model) -> Tensor:
    """grad f_i (K, P) at `model`, f_i the mean over the training samples of client i; 0 for a client without samples.

    The module is in evaluation mode: there is no dropout, and running statistics are used as they are.
    """

    def batch_gradient(step: Step, w: Tensor) -> dict[str, Tensor]:
        (slope,) = torch.autograd.grad(step.loss(w).sum(), w)
        return {"gradient": step.examples * slope}

    return client.collect(model, batch_gradient)["gradient"] / client.examples.clamp(min=1)
