"""Statistics over clients, against sums done by hand."""

from __future__ import annotations

import pytest

from fedlit.evaluation.evaluation import client_rows, global_rows
from fedlit.evaluation.spread import pooled, spread
from fedlit.metric_names import STATISTICS


def test_statistics_of_three_clients_are_those_by_hand():
    row = spread([{"accuracy": (1.0, 2.0)}, {"accuracy": (9.0, 10.0)}, {"accuracy": (1.0, 4.0)}])  # .5, .9, .25
    assert row["accuracy"]["mean"] == pytest.approx(0.55)
    assert row["accuracy"]["weighted"] == pytest.approx(11 / 16)
    assert row["accuracy"]["std"] == pytest.approx(((0.05**2 + 0.35**2 + 0.30**2) / 3) ** 0.5)
    assert row["accuracy"]["worst"] == row["accuracy"]["worst_decile"] == 0.25
    assert set(row["accuracy"]) == set(STATISTICS)


def test_the_worst_loss_is_the_largest():
    row = spread([{"loss": (1.0, 1.0)}, {"loss": (6.0, 2.0)}, {"val_loss": (1.0, 1.0)}, {"val_loss": (4.0, 1.0)}])
    assert row["loss"]["worst"] == 3.0
    assert row["val_loss"]["worst"] == 4.0


def test_worst_decile_is_the_mean_of_the_worst_tenth_of_clients():
    totals = [{"accuracy": (float(i), 100.0)} for i in range(25)]
    assert spread(totals)["accuracy"]["worst_decile"] == pytest.approx(0.005)  # the worst two of 25: 0 and 0.01
    losses = [{"loss": (float(i), 1.0)} for i in range(25)]
    assert spread(losses)["loss"]["worst_decile"] == pytest.approx(23.5)


def test_clients_without_samples_do_not_count():
    row = client_rows("received", [{"accuracy": (1.0, 2.0)}, {}, {"accuracy": (2.0, 2.0)}])
    assert row["clients/received/evaluated"] == 2
    assert row["clients/received/accuracy/mean"] == 0.75
    assert client_rows("received", [{}, {}]) == {}


def test_a_metric_without_weight_is_left_out():
    assert spread([{"accuracy": (0.0, 0.0)}]) == {}
    assert pooled([{"accuracy": (0.0, 0.0)}]) == {}


def test_global_rows_divide_summed_totals_by_summed_weights():
    assert global_rows("test", [{"loss": (1.0, 1.0)}, {"loss": (5.0, 9.0)}]) == {"global/test/loss": 0.6}
