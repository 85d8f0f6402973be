"""IFCA: Ghosh et al. 2020 (An Efficient Framework for Clustered Federated Learning), algorithm 1."""

from __future__ import annotations

import logging
from typing import Literal

import torch
from torch import Tensor

from fedlit.aggregators.base import Aggregator, Message, State, Weighting
from fedlit.aggregators.full_gradient import FullGradient
from fedlit.client import Client
from fedlit.errors import InputError
from fedlit.model_vectors import Layout, Model, tree_map
from fedlit.server_round import ServerRound

log = logging.getLogger(__name__)

Averaging = Literal["model", "gradient"]


class IFCA(Aggregator):
    """The server has k models theta_j. Client i takes the one that fits its training data best,
    j(i) = argmin_j F_i(theta_j), and s_ij is 1 for j = j(i), else 0.

    Model averaging (option II): the client trains from theta_j(i) to theta~_i, and
    theta_j = sum_i s_ij theta~_i / sum_i s_ij over the clients of the round. A model that no client took stays. The
    factor of `server_lr_schedule` scales the step from theta_j to this mean.
    Gradient averaging (option I): theta_j = theta_j - gamma / m sum_i s_ij g_i, with the gradient g_i of F_i at
    theta_j(i) on all samples of the client, and m the number of all clients, as in the paper. Clients take no step.

    The paper assumes k models at the start. theta_1 is the module's; in each other one the entries of every tensor are
    in a random order, so that they have the distribution of the first. Running statistics are averaged as the weights
    are. A client's own model is theta_j(i); there is no global model for k > 1.

    What travels: k models down; one vector and the number j(i) up. Clients are stateless, the server keeps k models.
    """

    def __init__(
        self,
        clusters: int = 2,
        averaging: Averaging = "model",
        gamma: float = 0.1,
        weighting: Weighting = "uniform",
    ):
        """
        Args:
            clusters: k, the number of models.
            averaging: "model" (option II) or "gradient" (option I).
            gamma: the server's step size under gradient averaging, where no client's optimiser takes a step; times the
                factor of `server_lr_schedule`.
            weighting: "uniform" weighs all clients of a cluster equally, as the paper does; "examples" by n_i, under
                model averaging only.
        """
        if averaging == "gradient" and weighting == "examples":
            raise InputError(
                "aggregator.averaging=gradient: the paper's sum over clients has no weights; leave "
                "aggregator.weighting=examples out, or write aggregator.averaging=model"
            )
        self.clusters, self.averaging, self.gamma, self.by = clusters, averaging, gamma, weighting
        self.weighting = {"delta": "w"}
        self.clients_step = averaging == "model"
        if averaging == "gradient":
            log.warning("aggregator.averaging=gradient: the server steps by aggregator.gamma; optimizer= has no effect")

    def setup(self, layout: Layout, clients: int) -> None:
        self.layout, self.full_gradient = layout, FullGradient(layout)

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        def shuffled(values: Tensor) -> Tensor:
            order = torch.randperm(values.numel(), generator=rng).to(values.device)
            return values.reshape(-1)[order]

        models = [model.weights]
        for _ in range(self.clusters - 1):
            models.append(torch.cat([shuffled(t) for t in self.layout.pieces(model.weights).values()]))
        weights = torch.stack(models)
        if self.clusters > 1 and bool((weights == weights[0]).all()):
            raise InputError(
                f"aggregator.clusters={self.clusters}: all weights of a tensor are the same at the start, so that the "
                "clusters would stay the same; choose a model with random first weights"
            )
        return {"centers": Model(weights, model.statistics.repeat(self.clusters, 1))}

    def broadcast(self, server: State) -> State:
        return {"centers": server["centers"]}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        j, theta = self._best(client, received["centers"])
        delta = self.full_gradient(client, theta) if self.averaging == "gradient" else client.fit(theta).model - theta
        return {"delta": delta, "j": j} | ({"n": client.examples} if self.by == "examples" else {}), state

    def unpack(self, message: Message, round: ServerRound) -> Message:
        s = message["j"] == torch.arange(self.clusters, device=message["j"].device)  # (K, k)
        w = s.to(message["delta"].weights) * message.get("n", 1)
        return {
            "delta": tree_map(lambda t: t[:, None].expand(-1, self.clusters, -1), message["delta"]),
            "w": w[..., None],
        }

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        theta, delta = server["centers"], reduced["delta"]
        if self.averaging == "gradient":  # the sum of the cluster, of which `delta` is the mean
            delta = Model(self.gamma / round.clients * reduced["w"] * delta.weights, delta.statistics)
        return {"centers": theta + Model(round.server_lr_factor * delta.weights, delta.statistics)}

    def personal(self, client: Client, received: State, state: State) -> Model:
        return self._best(client, received["centers"])[1]

    def global_model(self, server: State) -> Model | None:
        return server["centers"][0] if self.clusters == 1 else None

    def _best(self, client: Client, centers: Model) -> tuple[Tensor, Model]:
        """j (K, 1) and theta_j (K, P), (K, S); `centers` is (K, k, P), (K, k, S)."""
        losses = torch.cat([client.loss(centers[:, j]) for j in range(self.clusters)], dim=-1)  # (K, k)
        j = losses.argmin(-1)
        return j[:, None], centers[torch.arange(len(j), device=j.device), j]
