"""The rounds in which fedlit measures, and the clients and samples on which it does."""

from __future__ import annotations

import pytest

from fedlit.aggregators import FedAvg, FedPer
from fedlit.evaluation import Evaluation
from fedlit.evaluation.evaluator import has_personal_models
from tests.aggregators.federations import Running


def test_the_last_round_is_always_evaluated():
    assert [n for n in range(1, 9) if Evaluation(every=3).is_due(n, 8)] == [3, 6, 8]


def test_the_same_clients_are_evaluated_in_every_round():
    few = Evaluation(clients=5)
    shown = few.evaluated_clients(0, 50)
    assert len(set(shown)) == 5 and shown == sorted(shown) == few.evaluated_clients(0, 50)
    assert shown != few.evaluated_clients(1, 50)
    assert few.evaluated_clients(0, 4) == [0, 1, 2, 3]


def test_the_same_test_samples_are_used_in_every_round_and_at_most_test_samples():
    few = Evaluation(test_samples=50)
    first = few.pooled_samples(3, 10_000)
    assert len(set(first.tolist())) == 50 and sorted(first.tolist()) == first.tolist()
    assert first.tolist() == few.pooled_samples(3, 10_000).tolist() != few.pooled_samples(4, 10_000).tolist()
    for everything in (few.pooled_samples(3, 50), Evaluation().pooled_samples(3, 50)):
        assert everything.tolist() == list(range(50))


def test_watched_clients_are_of_the_cohort():
    cohort = list(range(10, 40))
    watched = Evaluation(clients=5).watched_clients(0, 1, cohort)
    assert len(watched) == 5 and watched <= set(cohort)
    assert watched != Evaluation(clients=5).watched_clients(0, 2, cohort)
    assert Evaluation(clients=30).watched_clients(0, 1, cohort) == set(cohort)


@pytest.mark.parametrize(("aggregator", "expected"), [(FedPer(["head.*"]), True), (FedAvg(), False)])
def test_an_algorithm_with_private_layers_has_personal_models(aggregator, expected, tmp_path):
    run = Running(tmp_path, aggregator)
    assert has_personal_models(run.federation, run.state, run.federation.round(1, [0], "evaluate")) == expected
