"""FedALA: Zhang et al. 2023, algorithm 1.

Theta_hat_i = Theta_i + (Theta - Theta_i) [1; W_i], elementwise (equation 4), is where training begins. W_i covers the
higher layers and is 1 at first. Before training, W_i = clip(W_i - eta d L(Theta_hat_i) / d W_i, 0, 1) (equation 5) on a
share s of the client's samples: in iteration 2 until it converges, here a number of times, and in iteration 1 not at
all. The share is drawn by chance, which an oracle does not know: the cases have s = 1. The derivative is autograd's.
The server averages the Theta_i by the clients' samples.
"""

from __future__ import annotations

from typing import Any

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [
    {"s": 1.0, "eta": 30.0, "start_epochs": 4, "epochs": 2},  # W meets both of its limits
    {"s": 1.0, "start_epochs": 2, "weighting": "uniform"},
    {"s": 1.0, "eta": 3.0, "start_epochs": 3, "head": "body"},
]


def federate(
    problem: Problem,
    eta: float = 1.0,
    s: float = 1.0,
    head: str = "head",
    epochs: int = 1,
    start_epochs: int = 10,
    weighting: str = "examples",
) -> Outcome:
    assert s == 1
    higher = [name for name in problem.weights if name.startswith(head)]
    W: list[Named] = [{n: problem.weights[n].new_ones(problem.weights[n].shape) for n in higher}] * problem.N
    Theta_i: list[Named] = [problem.weights] * problem.N
    Theta, statistics = problem.weights, problem.statistics

    def Theta_hat(i: int, W_i: Named) -> Named:
        return {n: Theta_i[i][n] + (Theta[n] - Theta_i[i][n]) * W_i.get(n, 1) for n in Theta}

    def trained_W(i: int, iteration: int) -> Named:
        W_i = W[i]
        for _ in range(0 if iteration == 1 else start_epochs if iteration == 2 else epochs):
            leaves = {n: value.clone().requires_grad_() for n, value in W_i.items()}
            problem.loss(Theta_hat(i, leaves), *problem.samples(i), statistics or None).backward()
            W_i = {n: (leaf - eta * leaf.grad).clip(0, 1).detach() for n, leaf in leaves.items()}
        return W_i

    for t, cohort in problem.rounds():
        trained: dict[int, tuple[Named, Named]] = {}
        for i in cohort:
            W[i] = trained_W(i, t)
            trained[i] = problem.train(Theta_hat(i, W[i]), statistics, t, i)
        for i in cohort:
            Theta_i[i] = trained[i][0]
        k = problem.shares(cohort, weighting)
        Theta, statistics = (combined(k, {i: pair[part] for i, pair in trained.items()}) for part in (0, 1))
    next_iteration = len(problem.cohorts) + 1
    return Outcome(
        weights=Theta,
        statistics=statistics,
        personal=[Theta_hat(i, trained_W(i, next_iteration)) for i in range(problem.N)],
        personal_statistics=[statistics] * problem.N if statistics else None,
    )
