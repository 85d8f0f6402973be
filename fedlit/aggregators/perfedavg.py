"""Per-FedAvg: Fallah et al. 2020 (Personalized Federated Learning with Theoretical Guarantees: A Model-Agnostic
Meta-Learning Approach), algorithm 1."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.evaluation_gradient import evaluation_gradient
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client, Step
from fedlit.model_vectors import Model


class PerFedAvg(FedAvg):
    """Clients descend F_i(w) = f_i(w - alpha grad f_i(w)), the loss after one gradient step.

    For the parts D, D', D'' of a batch, w' = w - alpha grad f_i(w; D), and a step follows
    (I - alpha hess f_i(w; D'')) grad f_i(w'; D') where `hessian=exact`, or grad f_i(w'; D') where
    `hessian=first_order` (the paper's Per-FedAvg (FO)), whose batches have two parts. beta is the learning rate of the
    client's optimiser, whose momentum, weight decay and schedule act on w; the step alpha is plain gradient descent.
    A batch with fewer samples than parts is used as a whole for each.

    The personal model is w - alpha grad f_i(w), the gradient over all training samples of the client, `personal_steps`
    times. Dropout is off in it, and running statistics are the received ones.

    Down travels w, up its change. Clients are stateless. The mean is weighted by examples; the paper's is plain
    (`weighting=uniform`).
    """

    def __init__(
        self,
        alpha: float = 0.01,
        hessian: Literal["exact", "first_order"] = "exact",
        personal_steps: int = 1,
        weighting: Weighting = "examples",
        server_optimizer: OptimizerFactory | None = None,
    ):
        """
        Args:
            alpha: step size of the personal step, 0 or more.
            hessian: "exact" takes the product with the Hessian; "first_order" leaves it out.
            personal_steps: steps that make the personal model, 1 or more; the paper's F_i has one.
            weighting: as in FedAvg.
            server_optimizer: as in FedAvg.
        """
        super().__init__(weighting, server_optimizer)
        self.alpha, self.hessian, self.personal_steps = alpha, hessian, personal_steps

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        exact = self.hessian == "exact"
        parts = 3 if exact else 2

        def meta_gradient(step: Step, w: Tensor) -> Tensor:
            (ahead,) = torch.autograd.grad(step.loss(w, (0, parts)).sum(), w)
            w_ahead = (w.detach() - self.alpha * ahead).requires_grad_()
            (gradient,) = torch.autograd.grad(step.loss(w_ahead, (1, parts)).sum(), w_ahead)
            if not exact:
                return gradient
            (slope,) = torch.autograd.grad(step.loss(w, (2, parts)).sum(), w, create_graph=True)
            (curved,) = torch.autograd.grad((slope * gradient).sum(), w)
            return gradient - self.alpha * curved

        x = received["model"]
        return {"delta": client.fit(x, gradient_fn=meta_gradient).model - x}, state

    def personal(self, client: Client, received: State, state: State) -> Model:
        model = received["model"].expand(len(client.number))
        for _ in range(self.personal_steps):
            model = Model(model.weights - self.alpha * evaluation_gradient(client, model), model.statistics)
        return model
