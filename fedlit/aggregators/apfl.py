"""APFL: Deng et al. 2020 (Adaptive Personalized Federated Learning), algorithm 1."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client, Step
from fedlit.model_vectors import Layout, Model


class APFL(FedAvg):
    """Client i also trains v_i, so that the mixture bar v_i = alpha_i v_i + (1 - alpha_i) w_i fits its data.

    In each step, on one batch and from the values before it: w_i = w_i - eta grad f_i(w_i), and
    v_i = v_i - eta grad_v f_i(bar v_i), which is v_i - eta alpha_i grad f_i(bar v_i). An adaptive alpha_i takes one
    step a round, on the first batch: alpha_i = alpha_i - eta <v_i - w_i, grad f_i(bar v_i)>, kept in [0, 1]; it holds
    from the next batch on.

    The global model is FedAvg's. Down travels w, up its change; a client keeps v_i (P,) and alpha_i. The personal
    model is the mixture with the received w, the mean of the w_i, as in the paper's output, which also averages over
    the iterations. Its running statistics are the received ones after an epoch of forward passes on the client's data.

    w_i follows the client's optimiser. v_i and alpha_i step by its learning rate alone, as the paper's do: momentum,
    weight decay, clipping and the scaling of Adam do not act on them, and the run warns of that. Where parameter groups
    have several rates, each position's rate stands inside the inner product. The authors' code mixes outputs and not
    weights, takes v_i's gradient after the step of w_i, and adds 0.02 alpha_i to the gradient of alpha_i. The mean is
    weighted by examples; the paper's is plain (`weighting=uniform`).
    """

    def __init__(
        self,
        alpha: float = 0.5,
        adaptive: bool = True,
        weighting: Weighting = "examples",
        server_optimizer: OptimizerFactory | None = None,
    ):
        """
        Args:
            alpha: each alpha_i at first, from 0 (the global model) to 1 (v_i alone).
            adaptive: alpha_i is trained, too.
            weighting: as in FedAvg.
            server_optimizer: as in FedAvg.
        """
        super().__init__(weighting, server_optimizer)
        self.alpha, self.adaptive = alpha, adaptive

    def setup(self, layout: Layout, clients: int) -> None:
        positions = layout.where()
        self.statistics_only = Model(positions.weights, ~positions.statistics)

    def client_state(self, model: Model) -> State:
        return {"v": model.weights, "alpha": model.weights.new_full((1,), self.alpha)}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        def both(step: Step, w: Tensor, v: Tensor, alpha: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            mixture = _mixed(alpha, v, w).detach().requires_grad_()
            (slope,) = torch.autograd.grad(step.loss(mixture).sum(), mixture)
            (plain,) = torch.autograd.grad(step.loss(w).sum(), w)
            new_alpha = alpha
            if self.adaptive:
                moved = alpha - (step.lr * (v - w.detach()) * slope).sum(-1, keepdim=True)
                new_alpha = torch.where(step.number == 0, moved.clamp(0, 1), alpha)
            return plain, {"v": v - step.lr * alpha * slope, "alpha": new_alpha}

        x = received["model"]
        y = client.fit(x, gradient_fn=both, carry=state)
        return {"delta": y.model - x}, y.carry

    def personal(self, client: Client, received: State, state: State) -> Model:
        x = received["model"]
        mixture = Model(_mixed(state["alpha"], state["v"], x.weights), x.statistics)
        if not x.statistics.shape[-1]:
            return mixture
        return client.fit(mixture, epochs=1, trainable=self.statistics_only).model


def _mixed(alpha: Tensor, v: Tensor, w: Tensor) -> Tensor:
    return alpha * v + (1 - alpha) * w
