"""Weightings of keys that a message has not, or of weights that are none."""

# ruff: noqa: RUF012  (class attributes, as users write them)

from __future__ import annotations

from tests.algorithm_trial.mistakes.noted import mistake
from tests.algorithm_trial.small_algorithm import Up, fedavg


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
