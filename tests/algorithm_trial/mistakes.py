"""Algorithms with one mistake each, and what the trial has to say of it."""

# ruff: noqa: RUF012  (class attributes, as users write them)

from __future__ import annotations

import functools
import random
from collections import defaultdict

import numpy as np
import torch

from fedlit.aggregators import Aggregator
from fedlit.model_vectors import Model, tree_map

MISTAKES: dict[type[Aggregator], str] = {}  # class -> a pattern that its sentence matches
STACKED_ONLY: set[type[Aggregator]] = set()  # right where each chunk has one client
COUNT = 0
SEEN: dict[int, int] = {}


def mistake(pattern, stacked_only=False):
    def noted(algorithm):
        MISTAKES[algorithm] = pattern
        if stacked_only:
            STACKED_ONLY.add(algorithm)
        return algorithm

    return noted


def fedavg(client, received, **options):
    x = received["model"]
    return {"delta": client.fit(x, **options).model - x}


class Up(Aggregator):
    def local_update(self, client, received, state):
        return fedavg(client, received), state


@mistake("adjust_gradient")
class NormWhole(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, adjust_gradient=lambda g, w: g / (1e-3 + g.norm())), state


@mistake("adjust_gradient is not elementwise")
class NormRow(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, adjust_gradient=lambda g, w: g / (1e-3 + g.norm(dim=-1, keepdim=True))), state


@mistake("not elementwise")
class MeanOfPositions(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, adjust_gradient=lambda g, w: g - g.mean(-1, keepdim=True)), state


@mistake("not elementwise")
class MaskByClosure(Up):
    def setup(self, layout, clients):
        self.m = layout.where("*").weights.float()

    def local_update(self, client, received, state):
        return fedavg(client, received, adjust_gradient=lambda g, w: g * self.m), state


@mistake("other numbers together", stacked_only=True)
class MixRows(Up):
    def local_update(self, client, received, state):
        x = received["model"]
        y = client.fit(x).model
        return {"delta": y - x - 0.1 * (y.mean_clients() - x.mean_clients()).expand(len(client.examples))}, state


@mistake("adjust_gradient")
class MixAdjust(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, adjust_gradient=lambda g, w: g - 0.1 * g.mean(0)), state


@mistake("gradient_fn reads c, .*extras", stacked_only=True)
class PartialFunction(Up):
    def client_state(self, model):
        return {"c": torch.zeros_like(model.weights)}

    def local_update(self, client, received, state):
        def f(step, w, c=None):
            return torch.autograd.grad(step.loss(w).sum(), w)[0] - 0.1 * c

        x = received["model"]
        y = client.fit(x, gradient_fn=functools.partial(f, c=state["c"])).model
        return {"delta": y - x}, {"c": (y - x).weights}


@mistake("other numbers together", stacked_only=True)
class LossMeanAll(Up):
    def local_update(self, client, received, state):
        return {
            **fedavg(client, received),
            "w": client.loss(received["model"]).mean().expand(len(client.examples), 1),
        }, state


@mistake("other numbers together", stacked_only=True)
class RowZero(Up):
    def local_update(self, client, received, state):
        d = fedavg(client, received)["delta"]
        return {"delta": d * client.loss(received["model"])[0]}, state


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


@mistake("'detla'.*did you mean 'delta'")
class Typo(Up):
    weighting = {"detla": "uniform"}


@mistake("'control'.*it sends delta")
class TypoNew(Up):
    weighting = {"control": "uniform"}


@mistake("weighting='uniform' is no mapping")
class WeightingText(Up):
    weighting = "uniform"


@mistake("weighting of delta is None; write examples or uniform")
class WeightingNone(Up):
    weighting = {"delta": None}


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


@mistake(r"server_update keeps n, a numpy\.float64, .*\.item\(\)")
class NumpyScalar(Up):
    def server_update(self, server, reduced, round):
        return {**super().server_update(server, reduced, round), "n": np.float64(3)}


@mistake(r"server_state keeps n, a numpy\.ndarray.*torch\.from_numpy")
class NumpyInState(Up):
    def server_state(self, model, rng):
        return {"model": model, "n": np.zeros(3)}


@mistake("keeps n, an object")
class ObjState(Up):
    def server_state(self, model, rng):
        return {"model": model, "n": object()}


@mistake(r"keeps n\[0\], a Model.*a dict of Models")
class ListModels(Up):
    def server_state(self, model, rng):
        return {"model": model, "n": [model, model]}


@mistake("keeps n, a defaultdict, .*another form")
class DefaultDict(Up):
    def server_state(self, model, rng):
        return {"model": model, "n": defaultdict(int)}


@mistake("a tuple of 3, not the pair")
class Triple(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received), state, 1


@mistake("returns None, not the pair")
class ReturnsNone(Up):
    def local_update(self, client, received, state):
        fedavg(client, received)


@mistake("the message is a list, not a dict")
class MessageList(Up):
    def local_update(self, client, received, state):
        return [1], state


@mistake(r"l of shape \(\), and its first axis")
class MessageScalar(Up):
    def local_update(self, client, received, state):
        return {**fedavg(client, received), "l": client.loss(received["model"]).mean()}, state


@mistake("first axis")
class NoAxis(Up):
    def local_update(self, client, received, state):
        return {"delta": fedavg(client, received)["delta"][0]}, state


@mistake("needs a Model")
class DeltaTensor(Up):
    def local_update(self, client, received, state):
        return {"delta": fedavg(client, received)["delta"].weights}, state


@mistake(r"a\.b, an int; write torch\.full_like")
class NestedFloat(Up):
    def local_update(self, client, received, state):
        return {**fedavg(client, received), "a": {"b": 1}}, state


@mistake(r"n of shape \(1,\) for each client, and client_state gives \(\)")
class StateShape(Up):
    def client_state(self, model):
        return {"n": torch.zeros(())}

    def local_update(self, client, received, state):
        return fedavg(client, received), {"n": client.examples}


@mistake("does not have 'm'")
class StateDrops(Up):
    def client_state(self, model):
        return {"n": torch.zeros(1), "m": torch.zeros(1)}

    def local_update(self, client, received, state):
        return fedavg(client, received), {"n": state["n"]}


@mistake(r"has 'n\.b'")
class StateTree(Up):
    def client_state(self, model):
        return {"n": {"a": torch.zeros(1)}}

    def local_update(self, client, received, state):
        return fedavg(client, received), {"n": {"b": state["n"]["a"]}}


@mistake("global_model: its result")
class ServerModelK(Up):
    needs_all = True

    def server_update(self, server, reduced, round):
        return {"model": server["model"] + reduced["delta"]}


@mistake("broadcast is the default, which reads 'model'")
class LostModel(Up):
    def server_update(self, server, reduced, round):
        return {"x": server["model"] + reduced["delta"]}


@mistake("broadcast is the default")
class NoModel(Up):
    def server_state(self, model, rng):
        return {"w": model}


@mistake("reads 'c' of received")
class ReadsC(Up):
    def local_update(self, client, received, state):
        received["c"]
        return fedavg(client, received), state


@mistake("reads 'c' of the client's state")
class ReadsState(Up):
    def local_update(self, client, received, state):
        state["c"]
        return fedavg(client, received), state


@mistake("reads 'c' of the reduced message and it has delta")
class ReadsReduced(Up):
    def server_update(self, server, reduced, round):
        reduced["c"]
        return server


@mistake(r"download: its result has c of shape \(3,\), and its first axis has to be the \d client")
class DownWithoutClients(Up):
    def download(self, server, clients, round):
        return {"c": torch.zeros(3)}


@mistake("download: its result is None")
class DownNone(Up):
    def download(self, server, clients, round):
        pass


@mistake("broadcast: its result is None")
class BroadNone(Up):
    def broadcast(self, server):
        pass


@mistake("broadcast: its result is a Model")
class BroadModel(Up):
    def broadcast(self, server):
        return server["model"]


@mistake("personal: its result is a tensor")
class PersonalWeights(Up):
    def personal(self, client, received, state):
        return received["model"].weights


@mistake("personal: its result is a Model")
class PersonalRow(Up):
    def personal(self, client, received, state):
        return Model(received["model"].weights[:, :5], received["model"].statistics)


@mistake(r"the model of client\.fit is a tensor")
class FitWeights(Up):
    def local_update(self, client, received, state):
        client.fit(received["model"].weights)
        return {}, state


@mistake("`trainable` holds float64")
class TrainFloat(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, trainable=tree_map(torch.ones_like, received["model"])), state


@mistake(r"extras\[0\] is a Model.*x\.weights")
class ExtrasModel(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, adjust_gradient=lambda g, w, x: g, extras=(received["model"],)), state


@mistake("write a tuple")
class ExtrasTensor(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, adjust_gradient=lambda g, w, x: g, extras=received["model"].weights), state


@mistake(r"extras\[0\] has shape \(7,\)")
class ExtrasShort(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, adjust_gradient=lambda g, w, x: g * x, extras=(torch.ones(7),)), state


@mistake("adjust_gradient returns None")
class AdjustNone(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, adjust_gradient=lambda g, w: None), state


@mistake("gradient_fn returns a tuple; without `carry`")
class FnTuple(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, gradient_fn=lambda s, w: torch.autograd.grad(s.loss(w).sum(), w)), state


@mistake("new value of 'u'")
class CarryTypo(Up):
    def local_update(self, client, received, state):
        return fedavg(
            client,
            received,
            gradient_fn=lambda s, w, v: (torch.autograd.grad(s.loss(w).sum(), w)[0], {"u": v}),
            carry={"v": client.examples},
        ), state


@mistake("changes the weights in place")
class AdjustInPlace(Up):
    def local_update(self, client, received, state):
        def f(g, w):
            w.mul_(0.99)
            return g

        return fedavg(client, received, adjust_gradient=f), state


@mistake("q of type uint8")
class SmallIntegers(Up):
    def local_update(self, client, received, state):
        return {**fedavg(client, received), "q": client.number.to(torch.uint8)}, state


@mistake(r"self\.hist")
class ServerSetup(Up):
    def server_update(self, server, reduced, round):
        self.last = round.number
        self.hist = [*getattr(self, "hist", []), 1]
        return super().server_update(server, reduced, round)


@mistake("no 'delta'")
class NoDelta(Up):
    def local_update(self, client, received, state):
        return {"model": client.fit(received["model"]).model}, state


@mistake(r"n, a float; write torch\.full_like\(client\.examples, 3\.0\)")
class Number(Up):
    def local_update(self, client, received, state):
        return {**fedavg(client, received), "n": 3.0}, state


@mistake("returns a dict, not the pair")
class ForgotState(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received)


@mistake("the state is None, not a dict")
class StateNone(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received), None


@mistake("client_state: its result has rounds, an int")
class StateNumber(Up):
    def client_state(self, model):
        return {"rounds": 0}


@mistake("adjust_gradient reads c, .*extras")
class Closure(Up):
    def client_state(self, model):
        return {"c": torch.zeros_like(model.weights)}

    def local_update(self, client, received, state):
        x, c = received["model"], state["c"]
        y = client.fit(x, adjust_gradient=lambda g, w: g - 0.1 * c).model
        return {"delta": y - x}, {"c": (y - x).weights}


@mistake("gradient_fn reads c, .*extras", stacked_only=True)
class ClosureRule(Closure):
    def local_update(self, client, received, state):
        x, c = received["model"], state["c"]
        y = client.fit(x, gradient_fn=lambda step, w: torch.autograd.grad(step.loss(w).sum(), w)[0] - 0.1 * c).model
        return {"delta": y - x}, {"c": (y - x).weights}


@mistake("adjust_gradient reads x, .*extras")
class ClosureDown(Up):
    def local_update(self, client, received, state):
        x = received["model"]
        return fedavg(client, received, adjust_gradient=lambda g, w: g + 0.3 * (w - x.weights)), state


@mistake(r"gradient_fn .*\.sum\(\)", stacked_only=True)
class RuleMean(Up):
    def local_update(self, client, received, state):
        return fedavg(
            client, received, gradient_fn=lambda step, w: torch.autograd.grad(step.loss(w).mean(), w)[0]
        ), state


@mistake("gradient_fn returns a tensor")
class RuleShape(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, gradient_fn=lambda step, w: step.loss(w)), state


@mistake("with `carry` it returns a pair")
class RuleNoCarry(Up):
    def local_update(self, client, received, state):
        x = received["model"].weights
        return fedavg(
            client,
            received,
            gradient_fn=lambda step, w, v: torch.autograd.grad(step.loss(w).sum(), w)[0],
            carry={"v": x},
        ), state


@mistake("weighting of delta is 'exampels', and the message that holds delta.weights .*; did you mean 'examples'?")
class Weighting(Up):
    weighting = {"delta": "exampels"}


class Weighed(Up):
    """It sends a weight of its own."""

    weighting = {"delta": "w"}

    def local_update(self, client, received, state):
        return {**fedavg(client, received), "w": self.weights(client.examples)}, state

    def weights(self, examples):
        return examples


@mistake(r"weighting of delta is 'v', .* no tensor of this name; send v, \(K, 1\), or write examples or")
class WeightNotSent(Weighed):
    weighting = {"delta": "v"}


@mistake("weighting of delta is 'w', and the message that holds delta.weights has no tensor of this name")
class WeightIsAModel(Weighed):
    def local_update(self, client, received, state):
        message = fedavg(client, received)
        return {**message, "w": {"v": client.examples}}, state


@mistake(r"w of the message has shape \(\d, 3\) and weighs delta.weights of shape")
class WeightOfAnotherShape(Weighed):
    def weights(self, examples):
        return examples.expand(-1, 3)


@mistake("w of the message is negative for a client, and it weighs delta.weights in a mean")
class NegativeWeight(Weighed):
    def weights(self, examples):
        return -examples


@mistake("'detla'.*did you mean 'delta'")
class WeighsAMisspeltKey(Weighed):
    weighting = {"detla": "w"}


@mistake("weighting of delta is 'w', which is weighed itself")
class WeighedWeight(Weighed):
    weighting = {"delta": "w", "w": "uniform"}


@mistake("gets every message .needs_all., and none is averaged, so weighting=.* has no effect")
class WeighedMessages(Weighed):
    needs_all = True


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


@mistake("broadcast: its result has groups, a list")
class ServerListDown(Up):
    def server_state(self, model, rng):
        return {"model": model, "groups": [[0, 1], [2]]}

    def broadcast(self, server):
        return server


@mistake("server_samples=<number>")
class NeedsServer(Up):
    def server_update(self, server, reduced, round):
        return {"model": round.server_client.fit(server["model"]).model}


@mistake("server_update: its result is None")
class ServerUpdateNone(Up):
    def server_update(self, server, reduced, round):
        server["model"] = server["model"] + reduced["delta"]


@mistake(r"extras\[0\] has shape \(4, 16\)")
class UsingTable(Up):
    def local_update(self, client, received, state):
        def gradient_fn(step, w, table):
            return torch.autograd.grad(step.loss(w).sum(), w)[0]

        return fedavg(client, received, gradient_fn=gradient_fn, extras=(torch.ones(4, 16),)), state


@mistake("local_update draws from torch's global")
class LocalDraws(Up):
    def local_update(self, client, received, state):
        return {"delta": tree_map(lambda t: t + 0.01 * torch.randn_like(t), fedavg(client, received)["delta"])}, state


@mistake(r"server_update draws from torch's global.*round\.generator")
class ServerDraws(Up):
    def server_update(self, server, reduced, round):
        return {"model": tree_map(lambda t: t + torch.randn_like(t), server["model"])}


@mistake("sends nothing and keeps nothing")
class EmptyMessage(Up):
    def local_update(self, client, received, state):
        client.fit(received["model"])
        return {}, state


@mistake("global_model: its result")
class GlobalRow(Up):
    def global_model(self, server):
        return tree_map(lambda t: t[None], server["model"])


@mistake("flag of type bool")
class MessageBool(Up):
    def local_update(self, client, received, state):
        return {**fedavg(client, received), "flag": client.examples > 5}, state


@mistake("has 'previous")
class StateGrows(Up):
    def local_update(self, client, received, state):
        message = fedavg(client, received)
        return message, {"previous": message["delta"]}


@mistake(r"lag, a numpy\.ndarray")
class ServerNumpy(Up):
    def server_update(self, server, reduced, round):
        return {"model": server["model"] + reduced["delta"], "lag": round.generator("lag").integers(0, 3, 8)}


@mistake("fits no name")
class PatternFitsNothing(Up):
    def setup(self, layout, clients):
        self.top = layout.where("nowhere")


def whole(step, w):
    return {"g": step.examples * torch.autograd.grad(step.loss(w).sum(), w)[0]}


@mistake("function of client.collect reads c, .*extras", stacked_only=True)
class CollectClosure(Closure):
    def local_update(self, client, received, state):
        x, c = received["model"], state["c"]
        g = client.collect(x, lambda step, w: {"g": whole(step, w)["g"] + c})["g"]
        y = client.fit(x).model
        return {"delta": y - x}, {"c": (y - x).weights + 0 * g}


@mistake("its function of client.collect returns a tuple")
class CollectTuple(Up):
    def local_update(self, client, received, state):
        client.collect(received["model"], lambda step, w: torch.autograd.grad(step.loss(w).sum(), w))
        return fedavg(client, received), state


@mistake(r"its function of client.collect returns a tensor of shape \(\d+,\) and type float64 for 'g'")
class CollectRow(Up):
    def local_update(self, client, received, state):
        client.collect(received["model"], lambda step, w: {"g": w.sum(0)})
        return fedavg(client, received), state


@mistake("other numbers together", stacked_only=True)
class CollectMix(Up):
    def local_update(self, client, received, state):
        sums = client.collect(received["model"], lambda step, w: {"l": step.loss(w).mean().expand(len(w), 1)})
        return {**fedavg(client, received), "l": sums["l"]}, state


@mistake("the model of client.collect")
class CollectWeights(Up):
    def local_update(self, client, received, state):
        client.collect(received["model"].weights, whole)
        return fedavg(client, received), state


@mistake("client.collect sums over validation samples, and no client has any; write evaluation.client_validation")
class CollectValidation(Up):
    def local_update(self, client, received, state):
        client.collect(received["model"], whole, "validation")
        return fedavg(client, received), state
