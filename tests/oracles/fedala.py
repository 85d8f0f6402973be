"""FedALA: Zhang et al. 2023, algorithm 1.

Theta_hat = Theta_i + (Theta - Theta_i) W, elementwise, with W = 1 below the top layers, is where training begins.
From round 2 on, W first descends the loss of Theta_hat on a share s of the client's batches, clipped to [0, 1]. The
share is drawn by chance, which an oracle does not know: the cases have s = 1.
"""

from __future__ import annotations

from typing import Any

from tests.oracles.problem import Named, Outcome, Problem, combined

CASES: list[dict[str, Any]] = [
    {"s": 1.0, "eta": 3.0, "start_epochs": 4, "epochs": 2},
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
    top = [name for name in problem.weights if name.startswith(head)]
    mix = [{name: 1 + 0 * problem.weights[name] for name in top} for _ in range(problem.N)]
    own: list[Named] = [problem.weights] * problem.N
    theta, statistics = problem.weights, problem.statistics

    def hat(i: int) -> Named:
        w = dict(theta)
        for name in top:
            w[name] = own[i][name] + (theta[name] - own[i][name]) * mix[i][name]
        return w

    def learn(i: int, passes: int) -> None:
        for _ in range(passes):
            g = problem.gradient(hat(i), *problem.samples(i), statistics or None)
            for name in top:
                descended = mix[i][name] - eta * g[name] * (theta[name] - own[i][name])
                mix[i] = {**mix[i], name: descended.clamp(0, 1)}

    for t, cohort in problem.rounds():
        trained = {}
        for i in cohort:
            learn(i, 0 if t == 1 else start_epochs if t == 2 else epochs)
            trained[i] = problem.train(hat(i), statistics, t, i)
        p = problem.shares(cohort, weighting)
        for i in cohort:
            own[i] = trained[i][0]
        theta, statistics = (combined(p, {i: pair[part] for i, pair in trained.items()}) for part in (0, 1))
    for i in range(problem.N):  # with the model of the next round, as the round would begin
        learn(i, epochs)
    return Outcome(
        weights=theta,
        statistics=statistics,
        personal=[hat(i) for i in range(problem.N)],
        personal_statistics=[statistics] * problem.N if statistics else None,
    )
