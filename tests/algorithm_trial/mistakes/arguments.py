"""Algorithms that pass or take wrong arguments, and what the trial has to say of each."""

from __future__ import annotations

import torch

from tests.algorithm_trial.mistakes.fits import whole
from tests.algorithm_trial.mistakes.noted import mistake
from tests.algorithm_trial.small_algorithm import Up, fedavg


def slope(step, w):
    return torch.autograd.grad(step.loss(w).sum(), w)[0]


@mistake(r"its function of client.collect takes \(step\), and it is called with \(step, weights\)")
class CollectTakesOne(Up):
    def local_update(self, client, received, state):
        client.collect(received["model"], lambda step: {"n": step.examples})
        return fedavg(client, received), state


@mistake("its function of client.collect calls client.fit")
class CollectFits(Up):
    def local_update(self, client, received, state):
        def fitted(step, w):
            return {"steps": client.fit(client.start).steps}

        client.start = received["model"]
        client.collect(received["model"], fitted)
        return fedavg(client, received), state


@mistake(r"its adjust_gradient takes \(g, w\), and it is called with \(gradient, weights, extras\[0\]\)")
class OneExtraTooMany(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, adjust_gradient=lambda g, w: g, extras=(received["model"].weights,)), state


@mistake(r"its gradient_fn takes \(step, w\), and it is called with \(step, weights, v=...\)")
class CarryIsNotTaken(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, gradient_fn=slope, carry={"v": client.examples}), state


@mistake("client.fit has no argument correct; it has model, epochs, adjust_gradient")
class OldArgument(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, correct=lambda g, w: g), state


@mistake("`carry` is a tensor of shape")
class CarryIsATensor(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, gradient_fn=slope, carry=received["model"].weights), state


@mistake("`carry` is changed by a gradient_fn, and client.fit gets none")
class CarryWithoutFunction(Up):
    def local_update(self, client, received, state):
        return fedavg(client, received, carry={"v": client.examples}), state


@mistake(r"carry\['v'\] is a tensor of shape \(2,\).*; a number a client is \(K, 1\)", stacked_only=True)
class CarryWithoutAxis(Up):
    def local_update(self, client, received, state):
        def counted(step, w, v):
            return slope(step, w), {"v": v + 1}

        return fedavg(client, received, gradient_fn=counted, carry={"v": client.examples[:, 0]}), state


@mistake("there are no draws named 'gauss'; write 'normal' or 'uniform'")
class DrawsOfNoKind(Up):
    def local_update(self, client, received, state):
        return {**fedavg(client, received), "noise": client.draw("gauss", "noise", client.examples)}, state


@mistake("there are no draws named 'gauss'")
class StepDrawsOfNoKind(Up):
    def local_update(self, client, received, state):
        client.collect(received["model"], lambda step, w: whole(step, w) | {"z": step.draw("gauss", "z", w)})
        return fedavg(client, received), state


@mistake("unpack gives delta.weights of a client other numbers together with other clients", stacked_only=True)
class UnpackCounts(Up):
    def unpack(self, message, round):
        return {"delta": message["delta"] / len(round.arrived)}


@mistake("unpack gives delta.weights of a client other numbers together with other clients", stacked_only=True)
class UnpackMixes(Up):
    def unpack(self, message, round):
        return {"delta": message["delta"] / (1 + message["delta"].weights.norm())}
