"""What SGD with momentum applies of a constant gradient, for oracles that divide a change by it.

With momentum rho, gradient g_j of step j enters the later steps again: x - y = eta sum_j a_j g_j, where
a_j = (1 - rho^(tau - j)) / (1 - rho), j = 0, ..., tau - 1 (Wang et al. 2020, section 4.1).
"""

from __future__ import annotations

from tests.oracles.problem import Problem


def steps_of(problem: Problem, t: int, k: int) -> int:
    """tau, the local steps of client k in round t."""
    return sum(len(epoch) for epoch in problem.batches(t, k))


def norm_of_a(problem: Problem, t: int, k: int) -> float:
    """||a||_1; without momentum it is tau."""
    tau, rho = steps_of(problem, t, k), problem.momentum
    return sum((1 - rho ** (tau - j)) / (1 - rho) for j in range(tau))
