"""Mistakes in what an algorithm gives to `fit` and `collect`, and numbers of clients that mix."""

from __future__ import annotations

import functools

import torch

from fedlit.model_vectors import tree_map
from tests.algorithm_trial.mistakes.noted import mistake
from tests.algorithm_trial.small_algorithm import Up, fedavg


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


@mistake(r"extras\[0\] has shape \(4, 16\)")
class UsingTable(Up):
    def local_update(self, client, received, state):
        def gradient_fn(step, w, table):
            return torch.autograd.grad(step.loss(w).sum(), w)[0]

        return fedavg(client, received, gradient_fn=gradient_fn, extras=(torch.ones(4, 16),)), state


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
