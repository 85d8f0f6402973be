"""Ditto: Li et al. 2021 (Ditto: Fair and Robust Federated Learning Through Personalization), algorithm 1."""

from __future__ import annotations

from torch import Tensor

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client
from fedlit.model_vectors import Model


class Ditto(FedAvg):
    """Client k also minimises h_k(v; w) = F_k(v) + lambda/2 ||v - w||^2, its personal model v_k drawn to the global w.

    The global model w^t is FedAvg's. After its global fit from w^t, a client takes the steps
    v_k = v_k - eta (grad F_k(v_k) + lambda (v_k - w^t)), by the same optimiser settings, from the v_k that it kept.
    Down travels w^t, up the change of the global fit; a client keeps v_k (P,), (S,), at first the initial model.

    The mean is weighted by examples; the paper's algorithm has the plain one (`weighting=uniform`).
    """

    def __init__(
        self,
        lam: float = 0.1,
        personal_epochs: int | None = None,
        weighting: Weighting = "examples",
        server_optimizer: OptimizerFactory | None = None,
    ):
        """
        Args:
            lam: the paper's lambda, 0 or more; 0 is training alone.
            personal_epochs: epochs of the personal model a round; None is `local_epochs` or `local_updates`.
            weighting: as in FedAvg.
            server_optimizer: as in FedAvg.
        """
        super().__init__(weighting, server_optimizer)
        self.lam, self.personal_epochs = lam, personal_epochs

    def client_state(self, model: Model) -> State:
        return {"v": model}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        def drawn(grad: Tensor, v: Tensor, w: Tensor) -> Tensor:
            return grad + self.lam * (v - w)

        message, _ = super().local_update(client, received, state)
        w = received["model"].weights
        v = client.fit(state["v"], epochs=self.personal_epochs, adjust_gradient=drawn, extras=(w,)).model
        return message, {"v": v}

    def personal(self, client: Client, received: State, state: State) -> Model:
        return state["v"]
