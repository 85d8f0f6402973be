"""Attacks on the handwritten digits: they succeed under the mean, and fail under robust rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.slow import some_slow
from tests.small_runs import command, rows

WORDS = ["data=digits", "clients=10", "rounds=20", "trainer=vectorized", "optimizer.lr=0.1", "evaluation.clients=0"]
QUIET = ["threads=1", "device=cpu", "progress=none", "logger=none", "evaluation.every=20", "hydra.run.dir=run"]
ATTACKS = {
    "backdoor": ["attack=backdoor", "attack.clients=0.3", "attack.size=2"],
    "label_flip": ["attack=label_flip", "attack.clients=0.4"],
    "sign_flip": ["attack=sign_flip", "attack.clients=0.3", "attack.scale=3"],
}
RULES = {
    "mean": [],
    "median": ["reduction=median"],
    "multikrum": ["reduction=multikrum", "reduction.f=3"],
    "trimmed_mean": ["reduction=trimmed_mean", "reduction.f=3"],
}
QUICK = [("backdoor", "mean"), ("backdoor", "multikrum"), ("label_flip", "mean"), ("label_flip", "median")]


@pytest.mark.parametrize(("attack", "rule"), some_slow([(attack, rule) for attack in ATTACKS for rule in RULES], QUICK))
def test_a_robust_rule_stops_what_the_mean_does_not(attack: str, rule: str, in_folder: Path) -> None:
    assert command(*WORDS, *QUIET, *ATTACKS[attack], *RULES[rule]) == 0
    row: dict[str, Any] = rows(Path("run"))[-1]
    accuracy, success = row["global/test/accuracy"], row.get("attack/success", 1 - row["global/test/accuracy"])
    if rule != "mean":
        assert accuracy > 0.88 and success < 0.2
    elif attack == "label_flip":  # one in 16 is taken for the flipped class, where a robust rule has one in 100
        assert accuracy < 0.87 and success > 0.04
    else:
        assert success > 0.85
    if rule == "multikrum" and attack != "label_flip":
        assert row["attack/precision"] == row["attack/recall"] == 1.0
