"""FedFomo: Zhang et al. 2021 (Personalized Federated Learning with First Order Model Optimization)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from fedlit.aggregators.base import Aggregator, Message, State
from fedlit.aggregators.kept_models import check_memory
from fedlit.client import Client
from fedlit.errors import InputError
from fedlit.model_vectors import Layout, Model, tree_map
from fedlit.randomness import keyed_uniform
from fedlit.server_round import ServerRound


class FedFomo(Aggregator):
    """Each client moves its model to those models of other clients that lower its validation loss.

    Client i receives the models theta_n of M other clients and weighs them by

        w_n = (L_i(theta_i) - L_i(theta_n)) / ||theta_n - theta_i||,

    with its own model theta_i of its last round and its validation loss L_i. It moves to
    theta_i + sum_n w_n+ (theta_n - theta_i), w_n+ = max(w_n, 0) / sum_m max(w_m, 0), or stays at theta_i where no w_n
    is above 0. Then it trains E local epochs. Equal models weigh 0.

    The server chooses the M by the affinity P (N, N), to which it adds each w_n that it gets: those of the largest
    P_in, or with probability epsilon random ones. Of equal ones the client of the lower number is taken.

    Simplified: epsilon is a constant; models are mixed at the beginning of a client's round and not after its training,
    so that nothing travels twice in a round. Running statistics are mixed with the weights. There is no global model.

    What travels: M models down; a model, the M weights and their clients' numbers up. A client keeps its model, the
    server the models of all N and P: a federation that has not the memory is refused.
    """

    needs_all = True

    def __init__(self, M: int = 5, epsilon: float = 0.3, loss_on: Literal["validation", "train"] = "validation"):
        """
        Args:
            M: models of others that a client receives; at most N - 1 are sent.
            epsilon: probability that a client receives random models.
            loss_on: the samples of L_i. "validation" needs validation samples (evaluation.client_validation).
        """
        self.M, self.epsilon, self.loss_on = M, epsilon, loss_on
        self.needs_validation = loss_on == "validation"

    def setup(self, layout: Layout, clients: int) -> None:
        if clients < 2:
            raise InputError("aggregator=fedfomo mixes models of other clients; write clients=2 or more.")
        check_memory("fedfomo", layout, clients)
        self.clients, self.sent = clients, min(self.M, clients - 1)

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        affinity = model.weights.new_zeros(self.clients, self.clients)
        return {"models": tree_map(lambda t: t.repeat(self.clients, 1), model), "P": affinity}

    def client_state(self, model: Model) -> State:
        return {"model": model}

    def broadcast(self, server: State) -> State:
        return {}

    def download(self, server: State, clients: Tensor, round: ServerRound) -> State:
        if round.purpose == "evaluate":  # a client's own model is at hand
            return {}
        everyone = torch.arange(self.clients, device=clients.device)
        draws = keyed_uniform(
            round.stream("random models"), clients[:, None] * self.clients + everyone, server["P"].dtype
        )  # (K, N)
        explores = keyed_uniform(round.stream("explores"), clients)[:, None] < self.epsilon
        rank = torch.where(explores, draws, server["P"][clients])
        rank = rank.masked_fill(clients[:, None] == everyone, -torch.inf)
        n = rank.argsort(dim=-1, descending=True, stable=True)[:, : self.sent]
        return {"n": n, "models": server["models"][n]}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        theta, others = state["model"], received["models"]  # (K, P), (K, M, P)
        losses = torch.cat([client.loss(others[:, m], self.loss_on) for m in range(self.sent)], dim=-1)
        distance = (others.weights - theta.weights[:, None]).norm(dim=-1)  # (K, M)
        gained = client.loss(theta, self.loss_on) - losses
        w = torch.where(distance > 0, gained / distance.where(distance > 0, 1), 0)
        positive = w.clamp(min=0)
        total = positive.sum(-1, keepdim=True)
        share = (positive / total.where(total > 0, 1))[..., None]
        mixed = tree_map(lambda t, t_n: t + (share * (t_n - t[:, None])).sum(1), theta, others)
        trained = client.fit(mixed).model
        return {"model": trained, "w": w, "n": received["n"]}, {"model": trained}

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        affinity = server["P"][round.rows].scatter_add(1, reduced["n"], reduced["w"])
        return {"models": round.put(server["models"], reduced["model"]), "P": round.put(server["P"], affinity)}

    def personal(self, client: Client, received: State, state: State) -> Model:
        return state["model"]

    def global_model(self, server: State) -> None:
        return None
