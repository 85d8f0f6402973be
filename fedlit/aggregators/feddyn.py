"""FedDyn: Acar et al. 2021 (Federated Learning Based on Dynamic Regularization), algorithm 1."""

from __future__ import annotations

import torch
from torch import Tensor

from fedlit.aggregators.base import Aggregator, Message, State, Weighting
from fedlit.client import Client
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound


class FedDyn(Aggregator):
    """Client k minimises L_k(theta) - <g_k, theta> + alpha/2 ||theta - theta^{t-1}||^2, theta^{t-1} the received model.

    g_k estimates the gradient of L_k at its last solution theta_k^t: g_k = 0 at first, then
    g_k - alpha (theta_k^t - theta^{t-1}). The server, for m clients in all of which the set P_t arrived:

        h^t = h^{t-1} - alpha/m sum_{k in P_t} (theta_k^t - theta^{t-1})
        theta^t = 1/|P_t| sum_{k in P_t} theta_k^t - h^t / alpha

    Each local step adds -g_k + alpha (theta - theta^{t-1}) to the gradient. What travels: the model down, its change
    up. A client keeps g_k, the server the model and h. Weight decay counts as a part of L_k. A round without clients
    changes nothing.

    Differences from the paper: it asks for the minimiser, and clients train the configured number of epochs. h / alpha
    does not depend on alpha: for small alpha clients train as under FedAvg, and the server still adds the mean change
    of all rounds so far. The paper's server has no step size; a factor of `server_lr_schedule` scales the step from
    theta^{t-1} to theta^t, and h does not depend on it. The paper's curves are of the mean of all clients' models, and
    here theta^t is evaluated. The authors' code divides alpha by m n_k / n, and the paper does not.
    """

    def __init__(self, alpha: float = 0.1, weighting: Weighting = "uniform"):
        """
        Args:
            alpha: weight of the regularisation, above 0.
            weighting: "uniform" is the paper's plain mean; "examples" weighs client k by its training samples.
        """
        self.alpha = alpha
        self.weighting = {"delta": weighting}

    def server_state(self, model: Model, rng: torch.Generator) -> State:
        return {"model": model, "h": torch.zeros_like(model.weights)}

    def client_state(self, model: Model) -> State:
        return {"g": torch.zeros_like(model.weights)}

    def broadcast(self, server: State) -> State:
        return {"model": server["model"]}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        def regularised(grad: Tensor, theta: Tensor, x: Tensor, g_k: Tensor) -> Tensor:
            return grad - g_k + self.alpha * (theta - x)

        x, g_k = received["model"], state["g"]
        change = client.fit(x, adjust_gradient=regularised, extras=(x.weights, g_k)).model - x
        return {"delta": change}, {"g": g_k - self.alpha * change.weights}

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        if not round.arrived:  # a mean of no models
            return server
        x, delta = server["model"], reduced["delta"]
        change = delta.weights.to(x.weights)
        h = server["h"] - self.alpha * round.share * change
        step = round.server_lr_factor * (change - h / self.alpha)
        return {"model": x + Model(step, delta.statistics.to(x.statistics)), "h": h}
