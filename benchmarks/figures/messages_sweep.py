"""Attacks against rules, with and without compression, in one sweep."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import product
from pathlib import Path

from benchmarks.figures.compression import ACCURACY, best, kilobytes_sent, rows
from benchmarks.figures.setting import Case, Means, Setting

ATTACKS = ("none", "label_flip", "alie", "backdoor")
RULES = {
    "mean": ("reduction=mean",),
    "median": ("reduction=median",),
    "krum": ("reduction=krum",),
    "centered_clipping": ("reduction=centered_clipping",),
    "krum_3": ("reduction=krum", "reduction.f=3"),
    "clipping_05": ("reduction=centered_clipping", "reduction.tau=0.5"),
}
NAMES = {"krum_3": "krum, f = 3", "clipping_05": "centered_clipping, tau = 0.5"}
UPLINKS = {"plain": "[]", "topk": "[topk]"}
DEFAULTS = ("mean", "median", "krum", "centered_clipping")  # rules of the large sweep
LAST = "accuracy"


def _case(attack: str, rule: str, uplink: str) -> str:
    return f"{attack}_{rule}_{uplink}"


PARTS = {
    _case(attack, rule, uplink): (attack, rule, uplink)
    for attack, rule, uplink in product(ATTACKS, RULES, UPLINKS)
    if rule in DEFAULTS or uplink == "plain"
}


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
    _, rule, uplink = PARTS[case]
    clean = means.get(_case("none", rule, uplink))
    return f"{clean[LAST]:.1f}" if clean else ""


def price(case: str, means: Means) -> str:
    """What a rule costs without an attack: its accuracy minus that of the mean of whole messages."""
    attack, _, _ = PARTS[case]
    plain = means.get(_case("none", "mean", "plain"))
    return f"{means[case][LAST] - plain[LAST]:+.1f}" if attack == "none" and plain else ""


SETTING = Setting(
    title="Attacks, rules and compression in one sweep",
    claim="No paper has this table.",
    notes="15 clients with 667 images each, all in each round; three of them are malicious. In the large sweep every "
    "option has its default: Krum counts on one malicious client (f = 1), the radius of centred clipping is 10, and "
    "top-k sends 10% with feedback. No message is as far as 10 from the centre, so that centred clipping is then "
    "the mean with equal weights. The rows with f = 3 and tau = 0.5 are commands of their own. Precision is the share "
    "of malicious clients among those that a rule leaves out, recall the share of malicious clients that it "
    "leaves out, both as means over the rounds; the other rules leave nobody out. Krum leaves out 14 of 15, so its "
    "precision is at most 21. The price is the accuracy of a rule without an attack, minus that of the mean of whole "
    "messages: Krum takes the model of one client of skewed labels, and the median of sparse messages is mostly 0. "
    "Under ALIE Krum chooses a malicious client in every round; its message is near the mean, and so the accuracy "
    "rises. Accuracy is that after round 20, best that of ten evaluated rounds on the test set. kB are of 1,000 "
    "bytes, in a round. The runs shared two cores with other work, so their seconds say little.",
    overrides=(
        *("data=mnist", "data.download=true", "server_samples=50000", "clients=15", "partition=dirichlet"),
        *("partition.alpha=0.5", "model=mlp", "local_updates=10", "batch_size=32", "optimizer.lr=0.1", "rounds=20"),
        *("evaluation.every=2", "evaluation.clients=0", "trainer=vectorized"),
    ),
    sweeps=(
        (f"attack={','.join(ATTACKS)}", f"reduction={','.join(DEFAULTS)}", f"uplink={','.join(UPLINKS.values())}"),
        *((f"attack={','.join(ATTACKS)}", *RULES[rule]) for rule in RULES if rule not in DEFAULTS),
    ),
    cases={
        case: Case((f"attack={attack}", *RULES[rule], *([f"uplink={UPLINKS[uplink]}"] if rule in DEFAULTS else [])))
        for case, (attack, rule, uplink) in PARTS.items()
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
        case: f"{attack}, {NAMES.get(rule, rule)}{', top-k' if uplink == 'topk' else ''}"
        for case, (attack, rule, uplink) in PARTS.items()
    },
)
