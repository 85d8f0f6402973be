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
    """Each client moves towards the models, of other clients and its own, that lower its validation loss.

    Client i receives the models theta_n that M other clients sent last. With its validation loss L_i and the model
    theta_i from which it trained last, it weighs these and its own trained model by

        w_n = (L_i(theta_i) - L_i(theta_n)) / ||theta_n - theta_i||    (equation 3).

    It moves to theta_i + sum_n w_n+ (theta_n - theta_i), w_n+ = max(w_n, 0) / sum_m max(w_m, 0), or stays at theta_i
    where no w_n is above 0. Then it trains E local epochs, and sends its model. Models equal to theta_i weigh 0.

    The server chooses the M by the affinity P (N, N), to which it adds each w_n that it gets: those of the largest
    P_in, or with probability epsilon random ones. Of equal ones random ones are taken, and clients that have sent no
    model are left out.

    Simplified: epsilon is a constant. Models are mixed at the beginning of a client's round and not after its training,
    so that nothing travels twice in a round. Running statistics are mixed with the weights. A client's own model is the
    one it trained last. There is no global model. The authors' code lowers epsilon by 0.05 a round, draws with it for
    each of the M models, and adds w_n / |sum_m w_m| to P.

    What travels: M models and their clients' numbers down; a model, the M weights and the numbers up. A client keeps
    theta_i and its model, the server the models of all N and P: a federation that has not the memory is refused. The
    server takes no step, so `server_lr_schedule` is refused.
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
        check_memory("fedfomo", layout, clients, pairs=2)
        self.clients, self.sent = clients, min(self.M, clients - 1)

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        zeros = model.weights.new_zeros(self.clients, self.clients)
        models = tree_map(lambda t: t.repeat(self.clients, 1), model)
        return {"models": models, "has_sent": zeros[:, 0] > 0, "P": zeros}

    def client_state(self, model: Model) -> State:
        return {"theta": model, "model": model}

    def broadcast(self, server: State) -> State:
        return {}

    def download(self, server: State, clients: Tensor, round: ServerRound) -> State:
        if round.purpose != "train":  # a client uses its own model, which it has
            return {}
        everyone = torch.arange(self.clients, device=clients.device)
        pairs = clients[:, None] * self.clients + everyone  # (K, N)
        drawn = keyed_uniform(round.stream("random models"), pairs).argsort(dim=-1, stable=True)  # an order
        explores = keyed_uniform(round.stream("explores"), clients)[:, None] < self.epsilon
        left_out = (clients[:, None] == everyone) | ~server["has_sent"]
        rank = server["P"][clients].masked_fill(explores, 0).masked_fill(left_out, -torch.inf)
        best = rank.gather(1, drawn).argsort(dim=-1, descending=True, stable=True)  # equal ones in the drawn order
        n = drawn.gather(1, best)[:, : self.sent]
        return {"models": server["models"][n], "n": n.masked_fill(left_out.gather(1, n), -1)}  # -1 is no model

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        theta, n = state["theta"], received["n"]
        models = tree_map(lambda t, t_i: torch.cat([t, t_i[:, None]], dim=1), received["models"], state["model"])
        losses = torch.cat([client.loss(models[:, m], self.loss_on) for m in range(self.sent + 1)], dim=-1)
        distance = (models.weights - theta.weights[:, None]).norm(dim=-1)  # (K, M + 1), the last one is its own
        counts = (distance > 0) & torch.nn.functional.pad(n >= 0, (0, 1), value=True)
        w = (client.loss(theta, self.loss_on) - losses) / distance.where(counts, 1) * counts
        positive = w.clamp(min=0)
        total = positive.sum(-1, keepdim=True)
        share = (positive / total.where(total > 0, 1))[..., None]
        mixed = tree_map(lambda t, t_n: t + (share * (t_n - t[:, None])).sum(1), theta, models)
        trained = client.fit(mixed).model
        return {"model": trained, "w": w[:, :-1], "n": n}, {"theta": mixed, "model": trained}

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        affinity = server["P"][round.rows].scatter_add(1, reduced["n"].clamp(min=0), reduced["w"])
        return {
            "models": round.put(server["models"], reduced["model"]),
            "has_sent": round.put(server["has_sent"], torch.ones_like(round.rows) > 0),
            "P": round.put(server["P"], affinity),
        }

    def personal(self, client: Client, received: State, state: State) -> Model:
        return state["model"]

    def global_model(self, server: State) -> None:
        return None
