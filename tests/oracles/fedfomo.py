"""FedFomo: Zhang et al. 2021 (Personalized Federated Learning with First Order Model Optimization).

Client i moves from its model theta_i to theta_i + sum_n w_n (theta_n - theta_i), with w_n proportional to
max(0, (L_i(theta_i) - L_i(theta_n)) / ||theta_n - theta_i||), where theta_i is its model before its last training. The
sum is over the models that others have sent and the one that it has trained itself. Then it trains. In these cases
every client gets the models of all others, so that no choice of the server is random.
"""

from __future__ import annotations

from typing import Any

from tests.oracles.problem import Named, Outcome, Problem

CASES: list[dict[str, Any]] = [{"M": 5}, {"M": 4, "loss_on": "train"}]


def federate(problem: Problem, M: int = 5, epsilon: float = 0.3, loss_on: str = "validation") -> Outcome:
    assert M >= problem.N - 1
    first = (problem.weights, problem.statistics)
    start = dict.fromkeys(range(problem.N), first)  # theta_i before its last training
    sent: dict[int, tuple[Named, Named]] = {}  # after it
    for t, cohort in problem.rounds():
        moved = {i: mixed(problem, i, start[i], sent, loss_on) for i in cohort}
        for i in cohort:
            start[i] = moved[i]
        sent |= {i: problem.train(*moved[i], t, i) for i in cohort}
    last = [sent.get(i, first) for i in range(problem.N)]
    statistics = [s for _, s in last] if problem.statistics else None
    return Outcome(personal=[w for w, _ in last], personal_statistics=statistics)


def mixed(
    problem: Problem, i: int, own: tuple[Named, Named], sent: dict[int, tuple[Named, Named]], loss_on: str
) -> tuple[Named, Named]:
    x, y = problem.validation[i] if loss_on == "validation" else problem.samples(i)

    def value(model: tuple[Named, Named]) -> float:
        return float(problem.loss(model[0], x, y, model[1] or None))

    gain = {}
    for n, model in sent.items():
        length = sum(float(((model[0][name] - own[0][name]) ** 2).sum()) for name in own[0]) ** 0.5
        gain[n] = max(0.0, (value(own) - value(model)) / length) if length else 0.0
    total = sum(gain.values())
    if not total:
        return own
    w, s = (
        {name: v + sum(g / total * (sent[n][part][name] - v) for n, g in gain.items()) for name, v in own[part].items()}
        for part in (0, 1)
    )
    return w, s
