"""What an oracle may know: first weights, samples, cohorts and the order of the batches, with a network written out.

An oracle is a module `tests/oracles/<option>.py` for an option of conf/aggregator/. It has `federate(problem,
**hyperparameters) -> Outcome`, written from the paper in plain torch or numpy, and `CASES`, the hyperparameters to try.
No file of this folder imports fedlit.

    CASES = [{"mu": 0.5}, {"mu": 0.1, "weighting": "uniform"}]  # keys of the YAML; the others keep their defaults
    POSED = {"cohorts": [[0, 1, 2, 3, 4]] * 3}  # arguments of Posed, in tests/aggregators/posed.py
    IMPOSSIBLE = {"momentum": "the sentence by which it is refused"}  # or "norm"; leave it out if all is possible

    def federate(problem, mu, weighting="examples"):
        w, s = problem.weights, problem.statistics
        for t, cohort in problem.rounds():
            ...
        return Outcome(weights=w, statistics=s)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

Named = dict[str, Tensor]  # tensors by the names of the network: body.weight, body.bias, head.weight, head.bias
Slope = Callable[[Named, Tensor, Tensor], Named]  # (weights, inputs, targets) -> the vector that SGD steps along


@dataclass(frozen=True)
class Outcome:
    """The models after the last round. Statistics are required with batch normalisation, and only then."""

    weights: Named | None = None  # of the global model; None if the algorithm has none
    personal: Sequence[Named] | None = None  # the model that each client would use, by client; None: the global one
    statistics: Named | None = None  # of the global model
    personal_statistics: Sequence[Named] | None = None


@dataclass(frozen=True)
class Problem:
    """A federation of N clients, in double precision. Clients count from 0, rounds from 1.

    Attributes:
        weights: of the first model. With batch normalisation they include norm.weight and norm.bias.
        statistics: norm.running_mean and norm.running_var of the first model; {} without batch normalisation.
        inputs, targets: the training samples of each client, (n_k, 6) and (n_k,).
        validation: the validation samples of each client, inputs and targets.
        cohorts: the clients of each round.
        epochs, batch_size, lr, momentum, decay: of local training by SGD.
        drawn: models that the server drew at random before the first round, weights and statistics, by the key of its
            state; empty for most algorithms.
        server_factors: of the server's learning rate in each round; all 1 where `POSED` has none.
        stream: (purpose, round, client, fit, epoch) -> the batches of that epoch; see `batches`.
    """

    weights: Named
    statistics: Named
    inputs: Sequence[Tensor]
    targets: Sequence[Tensor]
    validation: Sequence[tuple[Tensor, Tensor]]
    cohorts: Sequence[Sequence[int]]
    epochs: int
    batch_size: int
    lr: float
    momentum: float
    decay: float
    stream: Callable[[str, int, int, int, int], list[np.ndarray]]
    drawn: Mapping[str, Sequence[tuple[Named, Named]]] = field(default_factory=dict)
    server_factors: Sequence[float] = ()

    @property
    def N(self) -> int:
        """The number of clients of the federation."""
        return len(self.inputs)

    @property
    def n(self) -> list[int]:
        """The training samples of each client."""
        return [len(x) for x in self.inputs]

    def rounds(self) -> Iterator[tuple[int, Sequence[int]]]:
        """(round, its clients), from round 1 on."""
        yield from enumerate(self.cohorts, 1)

    def server_factor(self, t: int) -> float:
        """Of the server's learning rate in round t."""
        return self.server_factors[t - 1]

    def shares(self, cohort: Sequence[int], weighting: str = "examples") -> dict[int, float]:
        """p_k of the clients of a cohort: n_k / n, or all the same ("uniform")."""
        counts = {k: self.n[k] if weighting == "examples" else 1 for k in cohort}
        return {k: count / sum(counts.values()) for k, count in counts.items()}

    def batches(
        self, t: int, k: int, fit: int = 0, epochs: int | None = None, purpose: str = "train"
    ) -> list[list[np.ndarray]]:
        """For each epoch the batches of client k: index arrays into its own samples.

        Args:
            t: the round; after the last one it is still the number of the last round.
            fit: the number of the client's training in this round, from 0.
            epochs: None is `self.epochs`.
            purpose: "train"; "evaluate" if the client trains for its personal model, after the round.
        """
        return [self.stream(purpose, t, k, fit, e) for e in range(self.epochs if epochs is None else epochs)]

    def samples(self, k: int, index: np.ndarray | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Inputs and targets of client k at an index array; all its training samples by default."""
        return self.inputs[k][index], self.targets[k][index]

    # --- the network: head(relu(norm(body(x))))

    def features(self, w: Named, x: Tensor, statistics: Named | None = None) -> Tensor:
        """The input of the head, (B, 5). Batch normalisation takes the batch's mean and variance, as in training; with
        `statistics` it takes these, as in evaluation."""
        hidden = x @ w["body.weight"].T + w["body.bias"]
        if "norm.weight" in w:
            if statistics is None:
                centre, variance = hidden.mean(0), hidden.var(0, unbiased=False)
            else:
                centre, variance = statistics["norm.running_mean"], statistics["norm.running_var"]
            hidden = (hidden - centre) / (variance + 1e-5).sqrt() * w["norm.weight"] + w["norm.bias"]
        return hidden.clamp(min=0)

    def outputs(self, w: Named, x: Tensor, statistics: Named | None = None) -> Tensor:
        """The logits, (B, 3)."""
        return self.features(w, x, statistics) @ w["head.weight"].T + w["head.bias"]

    def loss(self, w: Named, x: Tensor, y: Tensor, statistics: Named | None = None) -> Tensor:
        """The mean cross entropy."""
        logits = self.outputs(w, x, statistics)
        return (logits.logsumexp(1) - logits.gather(1, y[:, None])[:, 0]).mean()

    def gradient(self, w: Named, x: Tensor, y: Tensor, statistics: Named | None = None) -> Named:
        """Of the loss."""
        leaves = {name: t.detach().clone().requires_grad_() for name, t in w.items()}
        slopes = torch.autograd.grad(self.loss(leaves, x, y, statistics), list(leaves.values()))
        return dict(zip(leaves, slopes, strict=True))

    def next_statistics(self, w: Named, statistics: Named, x: Tensor) -> Named:
        """The running mean and variance after a training step on these inputs at weights w."""
        if not statistics:
            return {}
        hidden = x @ w["body.weight"].T + w["body.bias"]
        batch = {"norm.running_mean": hidden.mean(0), "norm.running_var": hidden.var(0)}
        return {name: 0.9 * statistics[name] + 0.1 * batch[name] for name in statistics}

    # --- local training

    def sgd(self) -> Sgd:
        """The clients' optimiser, without momentum yet."""
        return Sgd(self.lr, self.momentum, self.decay)

    def train(
        self,
        w: Named,
        statistics: Named,
        t: int,
        k: int,
        fit: int = 0,
        epochs: int | None = None,
        slope: Slope | None = None,
        only: Collection[str] | None = None,
        purpose: str = "train",
    ) -> tuple[Named, Named]:
        """Local training of client k in round t; returns the weights and the statistics.

        Args:
            fit, epochs, purpose: see `batches`.
            slope: what SGD gets in place of the gradient.
            only: names of the tensors that are trained; None is all.
        """
        sgd = self.sgd()
        for epoch in self.batches(t, k, fit, epochs, purpose):
            for index in epoch:
                x, y = self.samples(k, index)
                g = (slope or self.gradient)(w, x, y)
                statistics = self.next_statistics(w, statistics, x)
                w = {**w, **sgd.step({n: w[n] for n in only or w}, g)}
        return w, statistics


class Sgd:
    """w - lr v, v = momentum v + g + decay w; the first v is g + decay w."""

    def __init__(self, lr: float, momentum: float = 0.0, decay: float = 0.0):
        self.lr, self.momentum, self.decay = lr, momentum, decay
        self.v: Named = {}

    def step(self, w: Named, g: Named) -> Named:
        """The weights after a step along g."""
        for name in w:
            slope = g[name] + self.decay * w[name]
            self.v[name] = self.momentum * self.v[name] + slope if name in self.v else slope
        return {name: w[name] - self.lr * self.v[name] for name in w}


def combined(shares: Mapping[int, float], models: Mapping[int, Named]) -> Named:
    """sum_k p_k m_k, tensor by tensor."""
    return {name: sum(shares[k] * models[k][name] for k in shares) for name in next(iter(models.values()))}
