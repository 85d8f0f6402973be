"""The gradient of a client's loss on all its samples, without a step."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlit.client import Client, Step
from fedlit.model_vectors import Layout, Model


class FullGradient:
    """g_i = sum_b n_b / n_i g_b, over the batches b of an epoch with n_b samples each.

    Batches are taken in training mode: with dropout and augmentation, and running statistics move as in an epoch. Batch
    normalisation takes the statistics of each batch, so that g_i depends on the size of the batches with it.
    """

    def __init__(self, layout: Layout):
        mask = layout.where()
        self.statistics_only = Model(mask.weights, ~mask.statistics)

    def __call__(self, client: Client, model: Model) -> Model:
        """-g_i (K, P), and the change of the statistics (K, S).

        Args:
            model: where the gradient is taken, (K, P) or (P,).
        """

        def summed(step: Step, w: Tensor, total: Tensor, examples: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            (grad,) = torch.autograd.grad(step.loss(w).sum(), w)
            return grad, {"total": total + step.examples * grad, "examples": examples + step.examples}

        zeros = model.weights.new_zeros(len(client.number), model.weights.shape[-1])
        carry = {"total": zeros, "examples": zeros[:, :1]}
        y = client.fit(model, epochs=1, gradient_fn=summed, trainable=self.statistics_only, carry=carry)
        return Model(-y.carry["total"] / y.carry["examples"], (y.model - model).statistics)
