"""pFedMe: Dinh et al. 2020 (Personalized Federated Learning with Moreau Envelopes), algorithm 1."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.evaluation_gradient import evaluation_gradient
from fedlit.aggregators.fedavg import FedAvg
from fedlit.client import Client, Step
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound


class PFedMe(FedAvg):
    """Clients descend the Moreau envelope F_i(w) = min_theta f_i(theta) + lambda/2 ||theta - w||^2.

    Its gradient is lambda (w - theta_i(w)). For each batch D, theta takes K steps from w along
    grad f_i(theta; D) + lambda (theta - w), the gradient of equation 7, with the step size `personal_lr`; then
    w = w - eta lambda (w - theta) (line 8). eta is the learning rate of the client's optimiser: its momentum, weight
    decay and schedule act on w, and plain gradient descent finds theta. The server takes
    w^{t+1} = (1 - beta) w^t + beta sum_i p_i w_{i,R}^t, and of running statistics the mean. eta lambda and
    personal_lr (lambda + L), L the smoothness of f_i, have to be below 2.

    The personal model is theta_i(w) of the received w: K steps on all training samples of the client, without dropout
    and with the received running statistics. The authors' code begins at the theta of the batch before, decays its
    weights, and evaluates the last theta of a round's training; here each theta begins at w. Clients that are not
    sampled do not train: in the paper they do, but nothing of it is sent or kept. The mean is weighted by examples, as
    in the authors' code; the paper's is plain (`weighting=uniform`). Down travels w, up its change. Clients are
    stateless.
    """

    def __init__(
        self,
        lam: float = 15.0,
        K: int = 5,
        personal_lr: float = 0.05,
        beta: float = 1.0,
        weighting: Weighting = "examples",
    ):
        """
        Args:
            lam: the paper's lambda, above 0.
            K: steps of theta for each batch, 1 or more.
            personal_lr: step size of theta, above 0.
            beta: of the server, above 0; 1 takes the mean.
            weighting: as in FedAvg.
        """
        super().__init__(weighting)
        self.lam, self.K, self.personal_lr, self.beta = lam, K, personal_lr, beta

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        def envelope_gradient(step: Step, w: Tensor) -> Tensor:
            center = w.detach()
            theta = center
            for _ in range(self.K):
                leaf = theta.clone().requires_grad_()
                (slope,) = torch.autograd.grad(step.loss(leaf).sum(), leaf)
                theta = theta - self.personal_lr * (slope + self.lam * (theta - center))
            return self.lam * (center - theta)

        x = received["model"]
        return {"delta": client.fit(x, gradient_fn=envelope_gradient).model - x}, state

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        delta = reduced["delta"]
        scaled = Model(self.beta * delta.weights, delta.statistics)
        return super().server_update(server, {"delta": scaled}, round)

    def personal(self, client: Client, received: State, state: State) -> Model:
        w = received["model"].weights
        theta = received["model"].expand(len(client.number))
        for _ in range(self.K):
            slope = evaluation_gradient(client, theta) + self.lam * (theta.weights - w)
            theta = Model(theta.weights - self.personal_lr * slope, theta.statistics)
        return theta
