"""A backdoor against four rules, planted in all rounds or in one."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures.compression import ACCURACY, FEDERATION, rows
from benchmarks.figures.setting import Case, Setting

SUCCESS = "attack/success"
PATCH = ("attack=backdoor", "attack.size=4", "attack.corner=top_left", "attack.value=2.8215", "attack.clients=0.1")
"""A white square of 4 x 4 pixels; 2.8215 is white after normalisation."""

RULES = {
    "mean": ("reduction=mean",),
    "norm_bound": ("reduction=norm_bound",),
    "krum": ("reduction=krum", "reduction.f=3"),
    "fltrust": ("reduction=fltrust", "server_samples=600"),
}
ONE_SHOT = ("attack.rounds=[45]", "attack.gamma=10")
"""With seed 0, round 45 has one malicious client."""


def most_success(run: Path) -> float:
    """The largest success after any evaluated round."""
    return max(row[SUCCESS] for row in rows(run) if SUCCESS in row)


CASES = {
    **{name: Case(rule) for name, rule in RULES.items()},
    "mean_one_shot": Case((*RULES["mean"], *ONE_SHOT)),
    "norm_bound_one_shot": Case((*RULES["norm_bound"], *ONE_SHOT)),
}

SETTING = Setting(
    title="A backdoor in a white corner: clean accuracy and success",
    claim="No paper has this setting. Bagdasaryan et al. 2020 (AISTATS) claim that one round of model replacement "
    "plants a backdoor that stays; Sun et al. 2019 that clipping the norm stops it; Cao et al. 2021 that FLTrust does.",
    notes="10 of 100 clients are malicious, so a round of ten has none to three of them: none in 17 rounds of 50, two "
    "or three in 16. Half of a malicious client's samples get the patch, 4 x 4 white pixels in a corner, and class 0. "
    "Success is the share of test samples of other classes that the patch turns into class 0, after the last round, "
    "and at most after any of the ten evaluated rounds; without an attack it is 0.5, and the accuracy 96.2 (the first "
    "row of `compression`). One shot: the one malicious client of round 45 multiplies its update by ten, and nobody "
    "attacks in other rounds. Krum has f = 3. FLTrust's server trains on 600 samples, about as many as a client. "
    "Clipping at the median norm stops the one shot, and not the attack in all rounds, whose updates are not scaled up "
    "(gamma = 1). The runs shared two cores with other work and were paused at times, so their seconds say little.",
    overrides=(*FEDERATION, *PATCH),
    cases=CASES,
    measures={"accuracy": ACCURACY, "success": SUCCESS, "most success": most_success},
    reached="success, and accuracy: mean {mean[success]:.1f}, {mean[accuracy]:.1f}; clipping "
    "{norm_bound[success]:.1f}, {norm_bound[accuracy]:.1f}; Krum {krum[success]:.1f}, {krum[accuracy]:.1f}; FLTrust "
    "{fltrust[success]:.1f}, {fltrust[accuracy]:.1f}; one shot {mean_one_shot[most success]:.1f} at once, "
    "{mean_one_shot[success]:.1f} five rounds later, {norm_bound_one_shot[success]:.1f} with clipping",
    seeds=(0,),
    paper="one shot is enough under the mean; clipping and FLTrust stop it",
    labels={
        "norm_bound": "clipping at the median norm",
        "krum": "Krum",
        "fltrust": "FLTrust",
        "mean_one_shot": "mean, one shot",
        "norm_bound_one_shot": "clipping, one shot",
    },
)
