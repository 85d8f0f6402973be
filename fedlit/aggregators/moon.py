"""MOON: Li et al. 2021 (Model-Contrastive Federated Learning), algorithm 1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client, Step
from fedlit.model_vectors import Model


class Moon(FedAvg):
    """A client minimises l_sup + mu l_con (equation 4). The model-contrastive loss of a batch is the mean over its
    samples of equation 3,

        l_con = -log( exp(sim(z, z_glob) / tau) / (exp(sim(z, z_glob) / tau) + exp(sim(z, z_prev) / tau)) ).

    sim is the cosine; z, z_glob and z_prev are the representations of a sample under the model that is trained, the
    received model and the client's model after its last round. A representation is what the linear layer that runs last
    gets (`step.features`). A client that was never asked has the initial model as its last one.

    What travels is as under FedAvg: the model down, its change up. A client keeps the weights of its last model. A step
    takes five forward passes in place of one.

    Difference from the authors' code: all three representations are computed as in the training step, with the batch
    statistics and the dropout masks of the step; the code computes z_glob and z_prev in evaluation mode. The paper
    does not say. Its networks have a projection head before the last layer; here it is what the module has.
    """

    def __init__(
        self,
        mu: float = 1.0,
        tau: float = 0.5,
        weighting: Weighting = "examples",
        server_optimizer: OptimizerFactory | None = None,
    ):
        """
        Args:
            mu: weight of the contrastive loss, 0 or more; 0 is FedAvg.
            tau: temperature, above 0.
            weighting, server_optimizer: as in FedAvg.
        """
        super().__init__(weighting, server_optimizer)
        self.mu, self.tau = mu, tau

    def client_state(self, model: Model) -> State:
        return {"previous": model.weights}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        def gradient(step: Step, w: Tensor, x: Tensor, previous: Tensor) -> Tensor:
            loss = step.loss(w).sum() + self.mu * self._contrastive(step, w, x, previous).sum()
            return torch.autograd.grad(loss, w)[0]

        x = received["model"]
        y = client.fit(x, gradient_fn=gradient, extras=(x.weights, state["previous"])).model
        return {"delta": y - x}, {"previous": y.weights}

    def _contrastive(self, step: Step, w: Tensor, x: Tensor, previous: Tensor) -> Tensor:
        """l_con of K clients, (K,). A text has a representation for each position, and its mean is over these, too."""
        z, z_glob, z_prev = step.features(w), step.features(x).detach(), step.features(previous).detach()
        near = F.cosine_similarity(z, z_glob, dim=-1) / self.tau
        far = F.cosine_similarity(z, z_prev, dim=-1) / self.tau
        return (torch.logaddexp(near, far) - near).flatten(1).mean(1)
