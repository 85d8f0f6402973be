"""Algorithms that fedlit does not ship. Each uses another part of the contract."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from fedlit.aggregators import Aggregator, FedAvg
from fedlit.model_vectors import Model, tree_map


class Scaffold(Aggregator):
    """Karimireddy et al. 2020, algorithm 1, option II."""

    weighting = {"c": "uniform"}  # noqa: RUF012

    def server_state(self, model, rng):
        return {"model": model, "c": torch.zeros_like(model.weights)}

    def client_state(self, model):
        return {"c": torch.zeros_like(model.weights)}

    def broadcast(self, server):
        return server

    def local_update(self, client, received, state):
        x, c, c_i = received["model"], received["c"], state["c"]
        y = client.fit(x, adjust_gradient=lambda g, w, c, c_i: g + c - c_i, extras=(c, c_i))
        c_new = c_i - c + (x.weights - y.model.weights) / y.gain
        return {"delta": y.model - x, "c": c_new - c_i}, {"c": c_new}

    def server_update(self, server, reduced, round):
        return {"model": server["model"] + reduced["delta"], "c": server["c"] + round.share * reduced["c"]}


class Moon(Aggregator):
    """Li et al. 2021: a `gradient_fn` over features at three weights."""

    def __init__(self, mu: float):
        self.mu = mu

    def client_state(self, model):
        return {"previous": model.weights}

    def local_update(self, client, received, state):
        def gradient_fn(step, w, x, previous):
            z = step.features(w)
            near, far = (2 * F.cosine_similarity(z, step.features(u).detach(), -1) for u in (x, previous))
            contrast = (torch.logaddexp(near, far) - near).mean(-1)
            return torch.autograd.grad((step.loss(w) + self.mu * contrast).sum(), w)[0]

        x = received["model"]
        y = client.fit(x, gradient_fn=gradient_fn, extras=(x.weights, state["previous"])).model
        return {"delta": y - x}, {"previous": y.weights}


class Apfl(Aggregator):
    """Deng et al. 2020, algorithm 1, adaptive: `carry` has two more tensors."""

    def client_state(self, model):
        return {"v": model.weights, "alpha": model.weights.new_full((1,), 0.5)}

    def local_update(self, client, received, state):
        def gradient_fn(step, w, v, alpha):
            mixed = (alpha * v + (1 - alpha) * w).detach().requires_grad_()
            (g,) = torch.autograd.grad(step.loss(mixed).sum(), mixed)
            (plain,) = torch.autograd.grad(step.loss(w).sum(), w)
            slope = (g * (v - w)).sum(-1, keepdim=True).detach()
            rate = step.lr.mean(-1, keepdim=True)  # of alpha, where parameter groups have several
            return plain, {"v": v - step.lr * alpha * g, "alpha": alpha - rate * slope}

        x = received["model"]
        y = client.fit(x, gradient_fn=gradient_fn, carry=state)
        return {"delta": y.model - x}, {"v": y.carry["v"], "alpha": y.carry["alpha"].clamp(0, 1)}

    def personal(self, client, received, state):
        x, a = received["model"], state["alpha"]
        return Model(a * state["v"] + (1 - a) * x.weights, x.statistics)


class BodyOnly(FedAvg):
    """Oh et al. 2022 (FedBABU): the head keeps its initial weights. The full change travels, for the tests."""

    def setup(self, layout, clients):
        self.body = tree_map(torch.logical_not, layout.where(layout.last_layer))

    def local_update(self, client, received, state):
        x = received["model"]
        return {"delta": client.fit(x, trainable=self.body).model - x}, state


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


class QFedAvg(Aggregator):
    """Li et al. 2020 (fair resource allocation), algorithm 2."""

    weighting = {"delta": "uniform", "h": "uniform"}  # noqa: RUF012

    def __init__(self, q: float):
        self.q = q

    def local_update(self, client, received, state):
        x, loss = received["model"], client.loss(received["model"])
        y = client.fit(x)
        lipschitz, moved = y.steps / y.gain, y.model - x  # 1 / the step size
        gap = lipschitz * moved.weights
        h = self.q * loss ** (self.q - 1) * gap.square().sum(-1, keepdim=True) + lipschitz * loss**self.q
        return {"delta": Model(loss**self.q * gap, moved.statistics), "h": h}, state

    def server_update(self, server, reduced, round):
        moved = Model(reduced["delta"].weights / reduced["h"], reduced["delta"].statistics)
        return {"model": server["model"] + moved}


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


class FedAmp(Aggregator):
    """Huang et al. 2021, algorithm 1: every message on the server, a download for each client."""

    needs_all = True

    def setup(self, layout, clients):
        self.clients = clients

    def server_state(self, model, rng):
        copies = tree_map(lambda t: t.repeat(self.clients, 1), model)
        return {"models": copies, "clouds": copies}

    def client_state(self, model):
        return {"w": model}

    def broadcast(self, server):
        return {}

    def download(self, server, clients, round):
        return {"cloud": server["clouds"][clients]}

    def local_update(self, client, received, state):
        u = received["cloud"].weights
        w = client.fit(state["w"], adjust_gradient=lambda g, w, u: g + 0.5 * (w - u), extras=(u,)).model
        return {"model": w}, {"w": w}

    def server_update(self, server, messages, round):
        models = round.put(server["models"], messages["model"])
        weight = 0.5 * torch.exp(-torch.cdist(models.weights, models.weights).square()) / self.clients
        weight.fill_diagonal_(0)
        return {
            "models": models,
            "clouds": tree_map(lambda t: weight @ t + (1 - weight.sum(1, keepdim=True)) * t, models),
        }

    def personal(self, client, received, state):
        return state["w"]

    def global_model(self, server):
        return None


class PerFedAvg(Aggregator):
    """Fallah et al. 2020, algorithm 1: the gradient one step ahead, through that step where of second order."""

    def __init__(self, second_order: bool, alpha: float = 0.1):
        self.second_order, self.alpha = second_order, alpha

    def local_update(self, client, received, state):
        def gradient_fn(step: Any, w: Tensor) -> Tensor:
            (ahead,) = torch.autograd.grad(step.loss(w, (0, 2)).sum(), w, create_graph=self.second_order)
            return torch.autograd.grad(step.loss(w - self.alpha * ahead, (1, 2)).sum(), w)[0]

        x = received["model"]
        return {"delta": client.fit(x, gradient_fn=gradient_fn).model - x}, state

    def personal(self, client, received, state):
        return client.fit(received["model"], epochs=1).model
