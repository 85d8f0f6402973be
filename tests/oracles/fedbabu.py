"""FedBABU: Oh et al. 2022, algorithm 1. No client trains the head; a personal model is the global one after training
all of it."""

from __future__ import annotations

from typing import Any

from tests.oracles.problem import Outcome, Problem, combined

CASES: list[dict[str, Any]] = [{}, {"finetune_epochs": 2, "weighting": "uniform"}, {"head": "body"}]


def federate(problem: Problem, finetune_epochs: int = 1, head: str = "head", weighting: str = "examples") -> Outcome:
    w, s = problem.weights, problem.statistics
    extractor = [name for name in w if name.split(".")[0] != head]
    last = 0
    for t, cohort in problem.rounds():
        last = t
        trained = {i: problem.train(w, s, t, i, only=extractor) for i in cohort}
        p = problem.shares(cohort, weighting)
        w = combined(p, {i: model for i, (model, _) in trained.items()})
        s = combined(p, {i: statistics for i, (_, statistics) in trained.items()})
    tuned = [problem.train(w, s, last, i, epochs=finetune_epochs, purpose="evaluate") for i in range(problem.N)]
    return Outcome(
        weights=w,
        statistics=s,
        personal=[model for model, _ in tuned],
        personal_statistics=[statistics for _, statistics in tuned] if s else None,
    )
