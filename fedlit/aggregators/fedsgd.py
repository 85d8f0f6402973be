"""FedSGD: McMahan et al. 2017, the baseline of section 2."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client, Step
from fedlit.model_vectors import Layout, Model


class FedSGD(FedAvg):
    """w_{t+1} = w_t - eta sum_k n_k / n g_k, with g_k the gradient of client k's loss at w_t on all its samples.

    A client computes g_k batch by batch, as sum_b n_b / n_k of the gradients on its batches b, in training mode: with
    dropout and augmentation. Its weights stay at w_t, and running statistics move as in an epoch. Batch normalisation
    takes the statistics of each batch, so g_k depends on the size of the batches with it, and without it does not.
    The server's optimiser takes the step, with the momentum and the weight decay of the option `optimizer=`. What the
    clients' optimiser would do is refused: a module's own configure_optimizers, `lr_schedule`, clipping.

    What travels: the model down; -g_k, and the change of the statistics, up. Clients are stateless, the server keeps
    the model and the state of its optimiser.
    """

    clients_step: ClassVar[bool] = False

    def __init__(self, server_optimizer: OptimizerFactory | None, weighting: Weighting = "examples"):
        """
        Args:
            server_optimizer: makes the optimiser that steps along the mean gradient; None: SGD with learning rate 1.
            weighting: as in FedAvg.
        """
        super().__init__(weighting, server_optimizer)

    def setup(self, layout: Layout, clients: int) -> None:
        mask = layout.where()
        self.statistics_only = Model(mask.weights, ~mask.statistics)

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        def summed(step: Step, w: Tensor, total: Tensor, examples: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            (grad,) = torch.autograd.grad(step.loss(w).sum(), w)
            return grad, {"total": total + step.examples * grad, "examples": examples + step.examples}

        x = received["model"]
        zeros = x.weights.expand(len(client.number), -1).new_zeros(len(client.number), x.weights.shape[-1])
        carry = {"total": zeros, "examples": zeros[:, :1]}
        y = client.fit(x, epochs=1, gradient_fn=summed, trainable=self.statistics_only, carry=carry)
        gradient = y.carry["total"] / y.carry["examples"]
        return {"delta": Model(-gradient, (y.model - x).statistics)}, state
