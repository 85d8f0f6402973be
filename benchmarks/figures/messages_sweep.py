"""Attacks against rules, with and without compression, in one sweep."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import product
from pathlib import Path

from benchmarks.figures.compression import ACCURACY, best, kilobytes_sent, rows
from benchmarks.figures.setting import Case, Means, Setting

ATTACKS = ("none", "label_flip", "alie", "backdoor")
RULES = ("mean", "median", "krum", "centered_clipping")
UPLINKS = {"plain": "[]", "topk": "[topk]"}
LAST = "accuracy"


def _case(attack: str, rule: str, uplink: str) -> str:
    return f"{attack}_{rule}_{uplink}"


def _mean_of(name: str) -> Callable[[Path], float | None]:
    """The mean of a metric over the rounds that have it."""

    def measure(run: Path) -> float | None:
        values = [row[name] for row in rows(run) if name in row]
        return statistics.fmean(values) if values else None

    return measure


def success(run: Path) -> float | None:
    """After the last round; None for an attack without a target."""
    return rows(run)[-1].get("attack/success")


def without_attack(case: str, means: Means) -> str:
    """The accuracy of the same rule and uplink without an attack."""
    _, rule, uplink = _parts(case)
    clean = means.get(_case("none", rule, uplink))
    return f"{clean[LAST]:.1f}" if clean else ""


def price(case: str, means: Means) -> str:
    """What a rule costs without an attack: its accuracy minus that of the mean of whole messages."""
    attack, _, _ = _parts(case)
    plain = means.get(_case("none", "mean", "plain"))
    return f"{means[case][LAST] - plain[LAST]:+.1f}" if attack == "none" and plain else ""


def _parts(case: str) -> tuple[str, str, str]:
    return next(parts for parts in product(ATTACKS, RULES, UPLINKS) if _case(*parts) == case)


SETTING = Setting(
    title="Attacks, rules and compression in one sweep",
    claim="No paper has this table.",
    notes="15 clients with 667 images each, all in each round; three of them are malicious. Every option has its "
    "default: Krum counts on one malicious client (f = 1) and not on three, the radius of centred clipping is 10, "
    "several times the norm of an update, and top-k sends 10% with feedback. Precision is the share of malicious "
    "clients among those that a rule leaves out, recall the share of malicious clients that it leaves out, both as "
    "means over the rounds; the mean, the median and centred clipping leave nobody out. Krum leaves out all but one, "
    "so its precision is at most 21. The price is the accuracy of a rule without an attack, minus that of the mean of "
    "whole messages. Accuracy is that after round 20, best that of ten evaluated rounds on the test set. kB are of "
    "1,000 bytes, in a round. The runs shared two cores with other work.",
    overrides=(
        *("data=mnist", "data.download=true", "server_samples=50000", "clients=15", "partition=dirichlet"),
        *("partition.alpha=0.5", "model=mlp", "local_updates=10", "batch_size=32", "optimizer.lr=0.1", "rounds=20"),
        *("evaluation.every=2", "evaluation.clients=0", "trainer=vectorized"),
    ),
    sweep=(
        f"attack={','.join(ATTACKS)}",
        f"reduction={','.join(RULES)}",
        f"uplink={','.join(UPLINKS.values())}",
    ),
    cases={
        _case(attack, rule, uplink): Case((f"attack={attack}", f"reduction={rule}", f"uplink={words}"))
        for attack, rule, (uplink, words) in product(ATTACKS, RULES, UPLINKS.items())
    },
    measures={
        LAST: ACCURACY,
        "best": best,
        "success": success,
        "precision": _mean_of("attack/precision"),
        "recall": _mean_of("attack/recall"),
        "kB a message": kilobytes_sent,
    },
    decimals={"kB a message": 1},
    compared={"without attack": without_attack, "price": price},
    reached="",
    seeds=(0,),
    labels={
        _case(attack, rule, uplink): f"{attack}, {rule}{', top-k' if uplink == 'topk' else ''}"
        for attack, rule, uplink in product(ATTACKS, RULES, UPLINKS)
    },
)
