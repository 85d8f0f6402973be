"""FedAMP: Huang et al. 2021 (Personalized Cross-Silo Federated Learning on Non-IID Data), algorithm 1."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlit.aggregators.base import Aggregator, Message, State
from fedlit.aggregators.kept_models import check_memory
from fedlit.client import Client
from fedlit.model_vectors import Layout, Model
from fedlit.server_round import ServerRound


class FedAMP(Aggregator):
    """Each client has a model w_i and is drawn to a mix u_i of all models, in which similar models weigh more.

    With A(x) = 1 - exp(-x / sigma), and A'(x) = exp(-x / sigma) / sigma, the server sends client i

        u_i = (1 - sum_{j != i} xi_ij) w_i + sum_{j != i} xi_ij w_j,  xi_ij = alpha_k A'(||w_i - w_j||^2),

    a step of size alpha_k down the gradient of sum_{i < j} A(||w_i - w_j||^2), and the client minimises
    F_i(w) + lambda / (2 alpha_k) ||w - u_i||^2. u_i is a convex combination where the xi_ij of a client sum to at most
    1, as under alpha_k (N - 1) <= sigma.

    Simplified: the client takes E local epochs from its own w_i in place of the minimum; alpha_k is `alpha` times the
    factor of `server_lr_schedule` in round k; u_i holds the last models that the clients sent, so that not all of them
    need to take part in a round. HeurFedAMP is left out. Running statistics stay with the client. There is no global
    model.

    What travels: u_i and alpha_k down, w_i up. A client keeps its model, the server the weights of all N: a federation
    that has not the memory is refused.
    """

    needs_all = True

    def __init__(self, alpha: float = 10000.0, lam: float = 1.0, sigma: float = 1000000.0):
        """
        Args:
            alpha: alpha_k without a schedule, the step size of the mix, above 0.
            lam: lambda, the weight of the models' similarity, 0 or more.
            sigma: the squared distance over which attention falls by a factor of e, above 0.
        """
        self.alpha, self.lam, self.sigma = alpha, lam, sigma

    def setup(self, layout: Layout, clients: int) -> None:
        check_memory("fedamp", layout, clients)
        self.clients = clients

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        return {"w": model.weights.repeat(self.clients, 1)}

    def client_state(self, model: Model) -> State:
        return {"model": model}

    def broadcast(self, server: State) -> State:
        return {}

    def download(self, server: State, clients: Tensor, round: ServerRound) -> State:
        if round.purpose != "train":  # a client uses its own model, which it has
            return {}
        w, w_i = server["w"], server["w"][clients]
        distance = torch.cdist(w_i, w, compute_mode="donot_use_mm_for_euclid_dist")  # exact for close models, (K, N)
        alpha_k = round.server_lr_factor * self.alpha
        xi = alpha_k * torch.exp(-(distance**2) / self.sigma) / self.sigma
        u = (1 - xi.sum(-1, keepdim=True)) * w_i + xi @ w  # xi_ii cancels
        return {"u": u, "alpha_k": torch.full_like(w_i[:, :1], alpha_k)}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        def attracted(grad: Tensor, w: Tensor, u: Tensor, strength: Tensor) -> Tensor:
            return grad + strength * (w - u)

        extras = (received["u"], self.lam / received["alpha_k"])
        trained = client.fit(state["model"], adjust_gradient=attracted, extras=extras).model
        return {"w": trained.weights}, {"model": trained}

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        return {"w": round.put(server["w"], reduced["w"])}

    def personal(self, client: Client, received: State, state: State) -> Model:
        return state["model"]

    def global_model(self, server: State) -> None:
        return None
