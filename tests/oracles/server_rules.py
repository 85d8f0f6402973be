"""Rounds of FedAvg whose mean change is given to a rule of the server, for the oracles of server optimisers."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tests.oracles.problem import Named, Outcome, Problem, combined

Rule = Callable[[Named, Named], Named]  # (x_t, Delta_t) -> x_{t+1}; it keeps what it needs


def rounds_with(rule: Rule, problem: Problem, weighting: str) -> Outcome:
    x, s = problem.weights, problem.statistics
    for t, cohort in problem.rounds():
        clients = {k: problem.train(x, s, t, k) for k in cohort}
        p = problem.shares(cohort, weighting)
        mean = combined(p, {k: clients[k][0] for k in cohort})
        s = combined(p, {k: clients[k][1] for k in cohort})
        x = rule(x, {name: mean[name] - x[name] for name in x})
    return Outcome(weights=x, statistics=s)


def zeros(x: Named) -> Named:
    return {name: torch.zeros_like(value) for name, value in x.items()}
