"""FedALA: Zhang et al. 2023 (FedALA: Adaptive Local Aggregation for Personalized Federated Learning), algorithm 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedlit.aggregators.base import Message, State, Weighting
from fedlit.aggregators.fedavg import FedAvg
from fedlit.aggregators.head import head_positions
from fedlit.aggregators.server_step import OptimizerFactory
from fedlit.client import Client, Step
from fedlit.model_vectors import Layout, Model


class FedALA(FedAvg):
    """Client i starts at hat Theta_i = Theta_i + (Theta - Theta_i) * W_i (equation 4), elementwise, W_i in [0, 1].

    Theta is the received model and Theta_i the client's own after its last round. W_i covers the layers of the head
    (the paper's p higher layers) and is 1 elsewhere; it begins at 1 and is kept from round to round. Before each fit,
    on a share s of the client's data, W_i = clip(W_i - eta grad_W L(hat Theta_i)) (equation 5): one full gradient for
    each of `epochs` passes, none in round 1, and `start_epochs` passes in round 2, where the paper trains W_i until it
    converges. The share is drawn by batches.

    The authors' code steps by batches; equation 5 is followed. It also draws a range of successive samples, trains W_i
    of clients that are not sampled, and has the long training in the first round in which Theta is not Theta_i, until
    the last ten losses have a standard deviation below 0.1.

    Down travels Theta, up the change from Theta to the trained Theta_i; a client keeps Theta_i (P,), (S,) and W_i. The
    personal model is the hat Theta_i of the next round, as the authors' code evaluates it, with the received running
    statistics. Dropout is off while W_i is trained. W_i steps by eta alone; the client's optimiser acts on the fit.
    """

    def __init__(
        self,
        eta: float = 1.0,
        s: float = 0.8,
        head: str | Sequence[str] | None = None,
        epochs: int = 1,
        start_epochs: int = 10,
        weighting: Weighting = "examples",
        server_optimizer: OptimizerFactory | None = None,
    ):
        """
        Args:
            eta: step size of W, 0 or more; 0 is FedAvg.
            s: share of the client's batches that train W, above 0 and at most 1.
            head: patterns over names (see `Layout.where`) of the layers that W covers; None is the layer that runs
                last.
            epochs: passes for W from round 3 on, 0 or more.
            start_epochs: passes for W in round 2, 0 or more.
            weighting: as in FedAvg.
            server_optimizer: as in FedAvg.
        """
        super().__init__(weighting, server_optimizer)
        self.eta, self.s, self.head, self.epochs, self.start_epochs = eta, s, head, epochs, start_epochs

    def setup(self, layout: Layout, clients: int) -> None:
        self.at = head_positions(layout, self.head, if_all=None).weights.nonzero().squeeze(1)  # (p,) no mask: it waits

    def client_state(self, model: Model) -> State:
        return {"model": model, "W": torch.ones_like(model.weights[self.at])}

    def local_update(self, client: Client, received: State, state: State) -> tuple[Message, State]:
        start, W = self._aggregated(client, received["model"], state)
        y = client.fit(start).model
        return {"delta": y - received["model"]}, {"model": y, "W": W}

    def personal(self, client: Client, received: State, state: State) -> Model:
        return self._aggregated(client, received["model"], state)[0]

    def _aggregated(self, client: Client, x: Model, state: State) -> tuple[Model, Tensor]:
        """hat Theta (K, P), (K, S), and the new W (K, p)."""

        def batch_gradient(step: Step, w: Tensor) -> dict[str, Tensor]:
            (slope,) = torch.autograd.grad(step.loss(w).sum(), w)
            examples = step.examples
            if self.s < 1:
                examples = examples * (step.draw("uniform", "share", examples) < self.s)
            return {"slope": examples * slope[:, self.at], "examples": examples}

        def mixed(W: Tensor) -> Model:
            weights = x.weights.expand(len(W), -1).clone()
            weights[:, self.at] += gap * (W - 1)
            return Model(weights, x.statistics.expand(len(W), -1))

        W, gap = state["W"], x.weights[..., self.at] - state["model"].weights[:, self.at]
        round_number = client.round.number + (client.round.purpose == "evaluate")  # after a round: that of the next
        for _ in range({1: 0, 2: self.start_epochs}.get(round_number, self.epochs)):
            sums = client.collect(mixed(W), batch_gradient)
            slope = sums["slope"] / sums["examples"].clamp(min=1)
            W = (W - self.eta * slope * gap).clamp(0, 1)
        return mixed(W), W
