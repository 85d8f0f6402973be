"""q-FedAvg: Li et al. 2020 (Fair Resource Allocation in Federated Learning), algorithm 2."""

from __future__ import annotations

from fedlit.aggregators.base import Aggregator, Message, State, Weighting
from fedlit.client import Client
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound

LEAST_LOSS = 1e-10  # added to F_k, as the authors' code does: F_k^(q-1) of a loss of 0 is infinite


class QFedAvg(Aggregator):
    """Minimises sum_k p_k / (q + 1) F_k^{q+1}: the larger q, the more a client with a large loss counts.

    Client k trains from w^t to w_k, and F_k is its loss at w^t on its training data. The server takes the step

        w^{t+1} = w^t - sum_k Delta_k / sum_k h_k,
        Delta_k = F_k^q L (w^t - w_k),    h_k = q F_k^{q-1} ||L (w^t - w_k)||^2 + L F_k^q.

    L, an input of the algorithm, is 1 / eta, as in the authors' code: eta is tuned at q = 0 and holds for all q.
    Delta_k and h_k are sent divided by L. Then q = 0 is FedAvg with uniform weights under every learning rate, and

        h_k / L = q F_k^{q-1} sum_j (w^t - w_k)_j^2 / eta_kj + F_k^q

    holds for learning rates eta_kj of client k and position j. The paper has no momentum. Here eta_kj is the gain of a
    step (`Fitted.gain` over `steps`), so that L (w^t - w_k) stays the sum of the gradients: the learning rate without
    momentum, about eta / (1 - rho) with momentum rho. Other optimisers than SGD are refused.

    What travels: the model down; its change and two numbers up. Clients are stateless, the server keeps the model. Each
    client computes its loss before it trains. `server_lr_schedule` multiplies the server's step.

    Difference from the paper: it asks client k with probability p_k and takes plain sums. The sampler here asks all
    clients with the same probability, so plain sums have p_k = 1 / N; `weighting=examples` has p_k = n_k / n.
    """

    def __init__(self, q: float = 1.0, weighting: Weighting = "uniform"):
        """
        Args:
            q: fairness, 0 or more; 0 is FedAvg.
            weighting: "uniform" has p_k = 1 / N, "examples" p_k = n_k / n.
        """
        self.q = q
        self.weighting = {"delta": weighting, "share": weighting, "h": weighting}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        w = received["model"]
        loss = client.loss(w) + LEAST_LOSS
        fitted = client.fit(w)
        change, eta = fitted.model - w, fitted.gain / fitted.steps
        squares = (change.weights.square() / eta).sum(-1, keepdim=True)
        share = loss**self.q
        return {"delta": change, "share": share, "h": self.q * loss ** (self.q - 1) * squares + share}, state

    def unpack(self, message: Message, round: ServerRound) -> Message:
        change, share = message["delta"], message["share"]
        return {**message, "delta": Model(share * change.weights, change.statistics)}

    def server_update(self, server: State, reduced: Message, round: ServerRound) -> State:
        total, h, factor = reduced["delta"], reduced["h"], round.server_lr_factor
        if not round.arrived:  # 0 / 0
            return server
        return {"model": server["model"] + Model(factor * total.weights / h, total.statistics)}
