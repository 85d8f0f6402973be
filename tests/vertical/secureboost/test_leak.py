"""leak=instance_space: an attack of hosts, measured."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedlit.vertical.secureboost import SecureBoost, leak
from tests.vertical.secureboost.stepped import Run, run, tables


@pytest.fixture(autouse=True)
def two_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leak, "DRAWS", 2)


def attacked(guest_first: int = 0, known_labels: int = 30) -> Run:
    """The guest's column gives the labels; the host's column says nothing about them."""
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, 400).astype(float)
    table = np.stack([target + rng.normal(size=400) / 10, rng.normal(size=400)], 1)
    data = tables(table, table, target, target, {"guest": (0,), "host": (1,)})
    options = SecureBoost(depth=3, leak="instance_space", guest_first=guest_first, known_labels=known_labels)
    return run(options, data, guest_first + 1)


def test_nodes_show_labels_to_a_host_whose_columns_do_not() -> None:
    facts = attacked().rows[0]["guest"]
    assert facts["leak/host/nodes_auc"] > 0.95
    assert abs(facts["leak/host/linear_auc"] - 0.5) < 0.1 and abs(facts["leak/host/forest_auc"] - 0.5) < 0.1


def test_a_first_tree_of_the_guest_alone_is_not_seen() -> None:
    """The guest's column leaves little to the second tree, whose nodes a host sees."""
    result = attacked(guest_first=1)
    assert "leak/host/nodes_auc" not in result.rows[0]["guest"]
    assert result.rows[1]["guest"]["leak/host/nodes_auc"] > 0.5


def test_the_area_is_that_of_people_whose_labels_are_not_known() -> None:
    result = attacked()
    known, guessed = result.messages("guest", "known")[0], result.messages("host", "guesses")[0]
    target = result.parties["guest"].target  # type: ignore[attr-defined]
    assert known["row"].shape == known["label"].shape == (2, 30)
    assert (known["label"] == target[known["row"]]).all()
    areas = []
    for rows, scores in zip(known["row"], guessed["linear"], strict=True):
        others = np.setdiff1d(np.arange(400), rows)
        areas.append(roc_auc_score(target[others], scores[others]))
    assert result.rows[0]["guest"]["leak/host/linear_auc"] == pytest.approx(np.mean(areas))


def test_labels_travel_for_the_attack_alone() -> None:
    rng = np.random.default_rng(0)
    table, target = rng.normal(size=(50, 2)), rng.integers(0, 2, 50).astype(float)
    quiet = run(SecureBoost(), tables(table, table, target, target, {"guest": (0,), "host": (1,)}), 1)
    assert not quiet.messages("guest", "known") and not any("leak" in name for name in quiet.rows[0]["guest"])
