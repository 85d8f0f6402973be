"""CFL: Sattler et al. 2020 (Clustered Federated Learning: Model-Agnostic Distributed Multi-Task Optimization Under
Privacy Constraints), algorithms 1 and 5."""

from __future__ import annotations

from math import sqrt

import numpy as np
import torch
from torch import Tensor

from fedlit.aggregators.base import Aggregator, Message, State, Weighting
from fedlit.aggregators.bipartition import bipartition
from fedlit.aggregators.kept_models import check_memory
from fedlit.client import Client
from fedlit.device_copies import to_device
from fedlit.model_vectors import Layout, Model, tree_map
from fedlit.server_round import ServerRound


class CFL(Aggregator):
    """FedAvg within clusters. All clients begin in one, and a cluster is cut in two where its mean update has come to
    rest and those of its clients have not.

    With the last updates u_i of the clients of a cluster c, and p_i = n_i / sum_c n (algorithm 2) or 1 / |c| (algorithm
    5, `weighting=uniform`), c is cut if

        ||sum_i p_i u_i|| < eps1  and  max_i ||u_i|| > eps2,

    into the parts c1, c2 that minimise the largest cosine similarity alpha_cross between a client of c1 and one of c2
    (algorithm 1: pairs are joined from the most similar on, until two parts are left), if
    sqrt((1 - alpha_cross) / 2) > gamma_max. Both parts start from the model of the old cluster plus its mean update,
    which is the server's step under a learning rate of 1.

    The authors' code differs: in the round of a cut it adds to each part the part's mean update, it links by the least
    similar pair of two groups, has no gamma_max, and cuts only clusters of more than two clients after 20 rounds.

    Simplified: gamma_max is a constant where the paper estimates it. The paper asks all clients in each round. Where
    some are not asked, u_i is what the client sent last, and a cluster is not cut before each of its clients has sent
    an update since the cluster began. The permutation of weights that hides updates from the server and the tree for
    new clients (algorithm 4) are left out. There is no global model.

    What travels: the cluster's model down, the update up. Clients are stateless, the server keeps a model and an update
    for each of N clients: a federation that has not the memory is refused.
    """

    needs_all = True

    def __init__(self, eps1: float = 0.4, eps2: float = 1.6, gamma_max: float = 0.0, weighting: Weighting = "examples"):
        """
        Args:
            eps1: bound of the mean update's norm, 0 or more; 0 is FedAvg. The paper advises a tenth of its maximum; the
                defaults of both bounds are those of the authors' code.
            eps2: bound of the largest update's norm, 0 or more; the paper advises eps1 to 10 eps1.
            gamma_max: noise of the updates, from 0 to below 1; more makes cuts rarer.
            weighting: "examples" weighs clients of a cluster by n_i; "uniform" equally.
        """
        self.eps1, self.eps2, self.gamma_max, self.by = eps1, eps2, gamma_max, weighting

    def setup(self, layout: Layout, clients: int) -> None:
        check_memory("cfl", layout, clients, models=2, pairs=3)
        self.clients = clients

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        zeros = model.weights.new_zeros(self.clients)
        models = tree_map(lambda t: t.repeat(self.clients, 1), model)  # the first rows, one a cluster
        updates = torch.zeros_like(models.weights)  # a row a client, as n: 0 if none came since the cluster began
        return {"models": models, "cluster": zeros.long(), "updates": updates, "n": zeros[:, None]}

    def broadcast(self, server: State) -> State:
        return {}

    def download(self, server: State, clients: Tensor, round: ServerRound) -> State:
        return {"model": server["models"][server["cluster"][clients]]}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        x = received["model"]
        return {"delta": client.fit(x).model - x}, state

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        cluster, delta = server["cluster"], reduced["delta"]
        n = reduced["examples"] if self.by == "examples" else torch.ones_like(reduced["examples"])
        p = self._shares(cluster[round.rows], n)
        models = server["models"] + Model(round.server_lr_factor * p @ delta.weights, p @ delta.statistics)
        u, n = round.put(server["updates"], delta.weights), round.put(server["n"], n.to(server["n"]))
        unit = torch.nn.functional.normalize(u, dim=-1)
        mean_norms = (self._shares(cluster, n) @ u).norm(dim=-1)
        cluster, parents, is_cut = self._cut(cluster, n[:, 0], mean_norms, u.norm(dim=-1), unit @ unit.T)
        return {"models": models[parents], "cluster": cluster, "updates": u, "n": n.masked_fill(is_cut[:, None], 0)}

    def global_model(self, server: State) -> None:
        return None

    def _shares(self, cluster: Tensor, n: Tensor) -> Tensor:
        """(N, A): a row a cluster, n_i over the sum of its clients; 0 for the others."""
        shares = (cluster == torch.arange(self.clients, device=cluster.device)[:, None]) * n[:, 0]
        total = shares.sum(-1, keepdim=True)
        return shares / total.where(total > 0, 1)

    def _cut(self, *values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The clusters of the clients, the old cluster of each one's model, and the clients of cut clusters."""
        cluster, n, mean_norms, norms, alpha = (value.cpu().numpy() for value in values)
        new, parents, is_cut = cluster.copy(), np.arange(self.clients), np.zeros(self.clients, dtype=bool)
        for c in range(cluster.max() + 1):
            members = np.flatnonzero(cluster == c)
            rests = mean_norms[c] < self.eps1 and norms[members].max() > self.eps2
            if not (rests and n[members].all() and len(members) > 1):
                continue
            second, alpha_cross = bipartition(alpha[np.ix_(members, members)])
            if sqrt(max(0.0, 1 - alpha_cross) / 2) > self.gamma_max:
                number = new.max() + 1
                new[members[second]], parents[number], is_cut[members] = number, c, True
        return tuple(to_device(array, values[0].device) for array in (new, parents, is_cut))  # type: ignore[return-value]
