"""Values that are kept outside of the states or changed in place, and draws from global generators."""

# ruff: noqa: RUF012  (class attributes, as users write them)

from __future__ import annotations

import random

import numpy as np
import torch

from fedlit.model_vectors import Model, tree_map
from tests.algorithm_trial.mistakes.noted import mistake
from tests.algorithm_trial.small_algorithm import Up, fedavg

COUNT = 0
SEEN: dict[int, int] = {}


@mistake("local_update keeps numbers in the global COUNT")
class GlobalCount(Up):
    def local_update(self, client, received, state):
        global COUNT
        COUNT += 1
        return fedavg(client, received), state


@mistake("the global SEEN")
class GlobalDict(Up):
    def local_update(self, client, received, state):
        for c in client.number[:, 0].tolist():
            SEEN[c] = SEEN.get(c, 0) + 1
        return {"delta": fedavg(client, received)["delta"] * (1 / max(SEEN.values()))}, state


@mistake(r"server_update keeps numbers in ClassList\.history")
class ClassList(Up):
    history = []

    def server_update(self, server, reduced, round):
        ClassList.history.append(float(reduced["delta"].weights.norm()))
        return super().server_update(server, reduced, round)


@mistake(r"server_update keeps numbers in self\.m,")
class SelfMomentum(Up):
    m = 0

    def server_update(self, server, reduced, round):
        self.m = 0.9 * self.m + reduced["delta"].weights
        return {"model": server["model"] + Model(self.m, reduced["delta"].statistics)}


@mistake(r"local_update keeps numbers in self\.prev")
class SelfPrev(Up):
    def local_update(self, client, received, state):
        x = received["model"]
        y = client.fit(x).model
        if hasattr(self, "prev"):
            y = 0.5 * (y + self.prev[0])
        self.prev = x[:1]
        return {"delta": y - x}, state


@mistake(r"self\.rng")
class SelfRng(Up):
    def __init__(self):
        self.rng = np.random.default_rng(0)

    def local_update(self, client, received, state):
        return {"delta": fedavg(client, received)["delta"] * float(self.rng.random())}, state


@mistake("called again with the same arguments")
class FreshRng(Up):
    def local_update(self, client, received, state):
        return {"delta": fedavg(client, received)["delta"] * float(np.random.default_rng().random())}, state


@mistake("download draws from numpy's global")
class NumpyDraw(Up):
    def download(self, server, clients, round):
        np.random.rand()
        return {}


@mistake("broadcast draws from Python's global")
class PythonDraw(Up):
    def broadcast(self, server):
        random.random()
        return super().broadcast(server)


@mistake(r"personal draws from torch's global.*client\.draw")
class PersonalDraw(Up):
    def personal(self, client, received, state):
        return tree_map(lambda t: t + 0.01 * torch.randn_like(t), received["model"])


@mistake("server_state draws from torch's global.*generator=rng")
class StateInit(Up):
    def server_state(self, model, rng):
        return {"model": model, "z": torch.randn(3)}


@mistake("client_state draws")
class ClientInit(Up):
    def client_state(self, model):
        return {"z": torch.randn(3)}


@mistake("setup draws")
class SetupDraw(Up):
    def setup(self, layout, clients):
        self.z = torch.randn(3)


@mistake("unpack draws")
class UnpackDraw(Up):
    def unpack(self, message, round):
        torch.rand(1)
        return message


@mistake("global_model draws")
class GlobalDraw(Up):
    def global_model(self, server):
        torch.rand(1)
        return server["model"]


@mistake(r"server_update changes model\.weights of the server's state in place")
class ServerInPlace(Up):
    def server_update(self, server, reduced, round):
        server["model"].weights.add_(reduced["delta"].weights)
        return server


@mistake("local_update changes n of the client's state in place")
class StateInPlace(Up):
    def client_state(self, model):
        return {"n": torch.zeros(1)}

    def local_update(self, client, received, state):
        state["n"].add_(1)
        return fedavg(client, received), state


@mistake("broadcast changes")
class BroadInPlace(Up):
    def broadcast(self, server):
        server["model"].weights.mul_(0.9)
        return {"model": server["model"]}


@mistake("client_state changes weights of the model in place")
class ClientStateInPlace(Up):
    def client_state(self, model):
        model.weights.zero_()
        return {}


@mistake(r"self\.hist")
class ServerSetup(Up):
    def server_update(self, server, reduced, round):
        self.last = round.number
        self.hist = [*getattr(self, "hist", []), 1]
        return super().server_update(server, reduced, round)


@mistake(r"changes model\.weights of received in place")
class InPlace(Up):
    def local_update(self, client, received, state):
        message = fedavg(client, received)
        received["model"].weights.mul_(0.9)
        return message, state


@mistake(r"self\.seen")
class OnSelf(Up):
    def __init__(self):
        self.seen = {}

    def local_update(self, client, received, state):
        delta = fedavg(client, received)["delta"]
        for r, c in enumerate(client.number[:, 0].tolist()):
            if c in self.seen:
                delta.weights[r] += 0.5 * self.seen[c]
            self.seen[c] = delta.weights[r].clone()
        return {"delta": delta}, state


@mistake("local_update draws from torch's global")
class LocalDraws(Up):
    def local_update(self, client, received, state):
        return {"delta": tree_map(lambda t: t + 0.01 * torch.randn_like(t), fedavg(client, received)["delta"])}, state


@mistake(r"server_update draws from torch's global.*round\.generator")
class ServerDraws(Up):
    def server_update(self, server, reduced, round):
        return {"model": tree_map(lambda t: t + torch.randn_like(t), server["model"])}
