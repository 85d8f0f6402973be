"""Algorithms that no option has: each uses a part of the contract that the shipped ones leave unused."""

from __future__ import annotations

import torch

from fedlit.aggregators import Aggregator, FedAvg


class WholeGradients(Aggregator):
    """The gradient of a client's whole shard steers its fit, as in Karimireddy et al. 2020, algorithm 1, option I, with
    noise: sums without a fit, and all that a step knows."""

    def client_state(self, model):
        return {"c": torch.zeros_like(model.weights)}

    def local_update(self, client, received, state):
        def noisy(step, w, scale):
            (grad,) = torch.autograd.grad(step.loss(w).sum(), w)
            noise = scale * step.draw("normal", "noise", w) / (1 + step.number)
            return {"gradient": step.examples * (grad + noise), "width": step.features(w).square().sum((1, 2))}

        def controlled(step, w, c, c_new):
            (grad,) = torch.autograd.grad(step.loss(w).sum(), w)
            pause = (step.number > 0) * step.draw("uniform", "pause", step.examples)
            return grad + pause / step.examples * (c_new - c)

        x, scale = received["model"], 1e-3 * (1 + client.number).to(client.examples)
        sums = client.collect(x, noisy, extras=(scale,))
        c = sums["gradient"] / client.examples / (1 + sums["width"][:, None].sqrt())
        return {"delta": client.fit(x, gradient_fn=controlled, extras=(state["c"], c)).model - x}, {"c": c}


class ByLoss(FedAvg):
    """The change of each client counts by its loss, which the message carries; the server knows each client's last."""

    def __init__(self):
        super().__init__()
        self.weighting = {"delta": "loss"}

    def setup(self, layout, clients):
        self.clients = clients

    def server_state(self, model, rng):
        return {"model": model, "losses": model.weights.new_ones(self.clients, 1)}

    def download(self, server, clients, round):
        return {"last": server["losses"][clients]}

    def local_update(self, client, received, state):
        message, state = super().local_update(client, received, state)
        return {**message, "loss": 0.5 * (client.loss(received["model"]) + received["last"])}, state

    def unpack(self, message, round):
        return {**message, "loss": message["loss"] / round.number}


class Modelless(FedAvg):
    """Its clients receive weights, and have no model."""

    def broadcast(self, server):
        return {"weights": server["model"].weights}
