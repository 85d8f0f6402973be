"""Right algorithms that a trial could take for wrong ones."""

# ruff: noqa: RUF012  (class attributes, as users write them)

from __future__ import annotations

import functools

import torch

from fedlit.aggregators import Aggregator, FedAvg
from fedlit.model_vectors import Model
from tests.algorithm_trial.small_algorithm import Up, fedavg

RIGHT: list[type[Aggregator]] = []


def right(algorithm):
    RIGHT.append(algorithm)
    return algorithm


@right
class CacheOnSelf(Up):
    def __init__(self):
        self.cache = {}

    def local_update(self, client, received, state):
        p = received["model"].weights.shape[-1]
        if p not in self.cache:
            self.cache[p] = torch.ones(p)
        return {"delta": fedavg(client, received)["delta"] * 1.0}, state


@right
class CachedProperty(Up):
    @functools.cached_property
    def mask(self):
        return torch.ones(1)

    def local_update(self, client, received, state):
        assert self.mask is not None
        return fedavg(client, received), state


@right
class KeyInSomeRounds(Up):
    weighting = {"c": "uniform"}

    def local_update(self, client, received, state):
        m = fedavg(client, received)
        if client.round.number % 5 == 4:
            m["c"] = client.examples
        return m, state


@right
class KeyedDraw(Up):
    def local_update(self, client, received, state):
        d = fedavg(client, received)["delta"]
        return {"delta": Model(d.weights + 0.01 * client.draw("normal", "z", d.weights), d.statistics)}, state


@right
class KeyedServerDraw(Up):
    def server_update(self, server, reduced, round):
        s = super().server_update(server, reduced, round)
        n = torch.from_numpy(round.generator("z").standard_normal(len(s["model"].weights))).to(s["model"].weights)
        return {"model": Model(s["model"].weights + 0.01 * n, s["model"].statistics)}


@right
class SignOfChange(Up):
    def local_update(self, client, received, state):
        d = fedavg(client, received)["delta"]
        return {"delta": Model(d.weights.sign() * 1e-3, d.statistics)}, state


@right
class LargestChanges(Up):
    def local_update(self, client, received, state):
        d = fedavg(client, received)["delta"]
        k = d.weights.shape[-1] // 10
        i = d.weights.abs().topk(k, -1).indices
        return {
            "delta": Model(torch.zeros_like(d.weights).scatter(-1, i, d.weights.gather(-1, i)), d.statistics),
        }, state


@right
class LoopOverClients(Up):
    def local_update(self, client, received, state):
        for n in client.number[:, 0].tolist():
            int(n)
        return fedavg(client, received), state


@right
class NotANumber(Up):
    def local_update(self, client, received, state):
        z = client.examples * 0
        return {**fedavg(client, received), "q": z / z}, state


@right
class NewEntriesInServer(Up):
    def server_update(self, server, reduced, round):
        server["model"] = server["model"] + reduced["delta"]
        server["n"] = server.get("n", 0) + 1
        return server


@right
class NewEntriesInState(Up):
    def client_state(self, model):
        return {"n": torch.zeros(1)}

    def local_update(self, client, received, state):
        state["n"] = state["n"] + 1
        return fedavg(client, received), state


@right
class AsksForKeys(Up):
    def local_update(self, client, received, state):
        assert received.get("c") is None and "c" not in state
        return fedavg(client, received), {}


@right
class OnlyEvaluated(Up):
    def local_update(self, client, received, state):
        return {}, state

    def personal(self, client, received, state):
        return client.fit(received["model"], epochs=1).model


@right
class BoolsUnderNeedsAll(Up):
    needs_all = True

    def local_update(self, client, received, state):
        return {**fedavg(client, received), "b": client.examples > 5}, state

    def server_update(self, server, reduced, round):
        return {"model": server["model"] + reduced["delta"].mean_clients()}


@right
class PlainServerValues(Up):
    def server_state(self, model, rng):
        return {
            "model": model,
            "t": (1, 2.5, "a", None, True, [torch.ones(2)]),
            "nan": float("nan"),
            "nt": torch.tensor([float("nan")]),
        }

    def server_update(self, server, reduced, round):
        return {**server, "model": server["model"] + reduced["delta"]}


@right
class PairAsList(Up):
    def local_update(self, client, received, state):
        return [fedavg(client, received), state]


@right
class DrawsInAFit(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, adjust_gradient=lambda g, w: g + 0.01 * torch.randn_like(g)), state


@right
class RoundNumber(Up):
    def local_update(self, client, received, state):
        a = 1 / client.round.number
        return fedavg(client, received, adjust_gradient=lambda g, w: a * g), state


@right
class NoEpoch(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, epochs=0), state


@right
class NanOnSelf(Up):
    def __init__(self):
        self.z = torch.tensor([float("nan")])


@right
class SendsLoss(Up):
    def local_update(self, client, received, state):
        return {**fedavg(client, received), "loss": client.loss(received["model"])}, state


@right
class GradientInPlace(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, adjust_gradient=lambda g, w: g.mul_(0.5)), state


@right
class InheritedWeighting(FedAvg):
    def local_update(self, client, received, state):
        return {"m": client.fit(received["model"]).model}, state

    def server_update(self, server, reduced, round):
        return {"model": reduced["m"]}


@right
class FunctionOnSelf(Up):
    def setup(self, layout, clients):
        self.log = print


@right
class ModuleOnSelf(Up):
    def __init__(self):
        self.net = torch.nn.Linear(3, 2)


@right
class OneClientAChunk(Up):
    def local_update(self, client, received, state):
        if client.examples.item() < 0:
            return
        return fedavg(client, received), state


@right
class ServerOptimizer(FedAvg):
    def __init__(self):
        super().__init__(server_optimizer=lambda p: torch.optim.Adam(p, lr=1e-2))


@right
class PlainGradientFn(Up):
    def local_update(self, client, received, state):
        def f(step, w):
            return torch.autograd.grad(step.loss(w).sum(), w)[0]

        return fedavg(client, received, gradient_fn=f, extras=()), state
