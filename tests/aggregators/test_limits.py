"""Limits in which an algorithm becomes another one, as a table; the last tests are limits of parts that no option has.

Five clients, unequal shards, partial participation, double precision, momentum and weight decay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch

from fedlit.aggregators import FedPer
from fedlit.model_vectors import Layout, Model, tree_map
from tests.aggregators.posed import MOMENTUM, PLAIN, SIZES, Posed, algorithm, distance
from tests.aggregators.test_oracles import TRAINERS
from tests.oracles.problem import Named, Outcome
from tests.slow import some_slow

BITS, ROUNDED = 0.0, 1e-9


@dataclass(frozen=True)
class Limit:
    """`option` with `given` is `becomes` with `of`.

    Attributes:
        compared: what of each: "weights" is the global model, "personal" the personal ones; with their statistics.
        within: `BITS` or `ROUNDED`.
        unlike: hyperparameters with which `option` is another algorithm; None if the limit is in no hyperparameter.
        options: of `Posed`.
    """

    option: str
    given: Mapping[str, Any]
    becomes: str = "fedavg"
    of: Mapping[str, Any] = field(default_factory=dict)
    compared: tuple[str, str] = ("weights", "weights")
    within: float = ROUNDED
    unlike: Mapping[str, Any] | None = None
    optimizer: Mapping[str, float] = field(default_factory=lambda: MOMENTUM)
    options: Mapping[str, Any] = field(default_factory=dict)
    is_slow: bool = False  # left to the slow suite

    def __str__(self) -> str:
        settings = [f"{key}={value}" for key, value in {**self.given, **self.options}.items()]
        return " ".join([self.option, *settings, "is", self.becomes]).replace("/", " ")


def slow(limit: Limit) -> Limit:
    return replace(limit, is_slow=True)


ALONE = {"sizes": [sum(SIZES)], "cohorts": [[0]] * 3}
ONE_ROUND = {"cohorts": [[1, 0, 3]]}
ONE_BATCH = {"batch_size": max(SIZES), "epochs": 1, "sizes": [9, 4, 6, 3]}
LINEAR = {"beta_1": 0.0, "tau": 1e5, "eta": 2e5}
UNIFORM, BY_EXAMPLES = {"weighting": "uniform"}, {"weighting": "examples"}
EVERYONE = {"cohorts": [[0, 1, 2, 3, 4]] * 3}
OWN = ("personal", "weights")  # the other algorithm has a global model
BY_GRADIENT = {"clusters": 1, "averaging": "gradient"}  # IFCA's other option
CUT = {"eps1": 10.0, "eps2": 0.0}  # CFL cuts its clusters
SIMILAR = {"alpha": 0.1, "sigma": 1.0}  # FedAMP mixes models
FIRST_ORDER = {"hessian": "first_order"}
PERSONAL = ("personal", "personal")
LIMITS = [
    slow(Limit("fedprox", {"mu": 0.0}, within=BITS, unlike={"mu": 0.1})),
    Limit("fedprox", {"mu": 0.0}, within=BITS, unlike={"mu": 0.1}, options={"norm": True}),
    Limit("scaffold", {}, of=UNIFORM, options={**ONE_ROUND, "norm": True}),
    Limit("fednova", {}, options={"batch_size": 10}),  # two steps a client
    Limit(
        "fedavg", {"server_optimizer": {"momentum": 0.0}}, within=BITS, unlike={"server_optimizer": {"momentum": 0.9}}
    ),
    Limit("fedavg", UNIFORM, options={"sizes": [4] * 5}),
    Limit("centralized", {}, within=BITS, options=ALONE),
    slow(Limit("moon", {"mu": 0.0}, unlike={"mu": 1.0})),
    Limit("moon", {"mu": 0.0}, unlike={"mu": 1.0}, options={"norm": True}),
    Limit("scaffold", {"option": "I"}, of=UNIFORM, options=ONE_ROUND),
    slow(Limit("scaffold", {"weighting": "examples"}, options=ONE_ROUND, unlike={})),
    Limit("fednova", {}, options={"sizes": [4] * 5}),
    slow(Limit("fednova", {"weighting": "uniform"}, of=UNIFORM, options={"sizes": [4] * 5, "norm": True})),
    Limit("qfedavg", {"q": 0.0}, of=UNIFORM, unlike={"q": 0.1}, options={"norm": True}),
    slow(Limit("qfedavg", {"q": 0.0, "weighting": "examples"}, unlike={}, options={"norm": True})),
    Limit("fedavgm", {"beta": 0.0}, within=BITS, unlike={"beta": 0.9}, options={"norm": True}),
    slow(Limit("fedavgm", {"beta": 0.9}, of={"server_optimizer": {"momentum": 0.9}}, unlike={"beta": 0.8})),
    # far below tau the step is eta m / (2 tau)
    Limit("fedadam", {**LINEAR, "beta_2": 1 - 1e-8}, unlike={**LINEAR, "beta_1": 0.5}, within=1e-5),
    slow(Limit("fedyogi", LINEAR, unlike={**LINEAR, "beta_1": 0.5}, within=1e-5)),
    slow(Limit("fedadagrad", LINEAR, unlike={**LINEAR, "beta_1": 0.5}, within=1e-5)),
    # one batch a client: FedAvg with one step
    Limit("fedsgd", {}, options=ONE_BATCH, optimizer=PLAIN, unlike={"server_optimizer": {"lr": 0.2}}),
    slow(Limit("fedsgd", {}, options={**ONE_BATCH, "norm": True}, optimizer=PLAIN)),
    Limit("fedbn", {}, within=BITS),  # without a normalisation layer
    slow(Limit("fedbn", {"local": "head"}, "fedper", {"head": "head"}, PERSONAL, BITS, unlike={"local": "body"})),
    Limit("lgfedavg", {"head": "head"}, "fedper", {"head": ["body", "norm"]}, PERSONAL, BITS, options={"norm": True}),
    Limit("ditto", {}, within=BITS, options={"norm": True}),  # the global fit is the first of the round
    slow(Limit("ditto", {"lam": 0.0}, "local", {}, PERSONAL, unlike={"lam": 0.1}, options={"batch_size": 99})),
    Limit("apfl", {}, within=BITS, options={"norm": True}),
    slow(Limit("apfl", {"alpha": 0.0, "adaptive": False}, compared=("personal", "weights"), within=BITS, unlike={})),
    Limit("fedala", {"eta": 0.0}, within=BITS, options={"norm": True}),
    slow(Limit("fedala", {"eta": 0.0}, within=BITS, unlike={"eta": 9.0}, options={"norm": True})),
    slow(Limit("fedala", {"s": 1e-12, "eta": 9.0}, within=BITS, unlike={"eta": 9.0})),  # no batch is drawn
    Limit("pfedme", {"K": 1, "lam": 20.0}, unlike={"K": 2, "lam": 20.0}),  # theta = w - grad f(w) / lam
    # each part is the batch
    slow(Limit("perfedavg", {"alpha": 0.0}, unlike={"alpha": 0.1}, options={"batch_size": 1})),
    slow(Limit("perfedavg", FIRST_ORDER | {"alpha": 0.0}, unlike=FIRST_ORDER, options={"batch_size": 1})),
    slow(Limit("perfedavg", {"alpha": 0.0}, "perfedavg", {"alpha": 0.0}, ("personal", "weights"), BITS)),
    Limit("ifca", {"clusters": 1, **BY_EXAMPLES}, unlike=BY_GRADIENT, options={"norm": True}),
    Limit("cfl", {"eps1": 0.0}, compared=OWN, unlike=CUT, options={**EVERYONE, "norm": True}),
    Limit("fedamp", {"lam": 0.0}, "local", compared=PERSONAL, within=BITS, unlike=SIMILAR, options={"norm": True}),
]


def outcome(option: str, given: Mapping[str, Any], limit: Limit, trainer: str) -> Outcome:
    settings = {"optimizer": limit.optimizer, **TRAINERS[trainer], **limit.options}
    key = repr((option, given, settings))
    if key not in OUTCOMES:
        with TemporaryDirectory() as folder:
            OUTCOMES[key] = Posed(Path(folder), algorithm(option, given), **settings).outcome()
    return OUTCOMES[key]


OUTCOMES: dict[str, Outcome] = {}  # most algorithms become the same one


def models(outcome: Outcome, part: str) -> list[Named]:
    """The global model, or the personal models by client, with their statistics."""
    if part == "weights":
        assert outcome.weights is not None
        return [{**outcome.weights, **(outcome.statistics or {})}]
    assert outcome.personal is not None
    statistics = outcome.personal_statistics or [{}] * len(outcome.personal)
    return [{**weights, **kept} for weights, kept in zip(outcome.personal, statistics, strict=True)]


@pytest.mark.parametrize("trainer", some_slow(TRAINERS, ["lightning"]))
@pytest.mark.parametrize("limit", some_slow(LIMITS, [limit for limit in LIMITS if not limit.is_slow]), ids=str)
def test_an_algorithm_becomes_another_one(limit: Limit, trainer: str) -> None:
    other = models(outcome(limit.becomes, limit.of, limit, trainer), limit.compared[1])

    def apart(given: Mapping[str, Any]) -> float:
        same = models(outcome(limit.option, given, limit, trainer), limit.compared[0])
        clients = max(len(same), len(other))  # a global model is that of each client
        pairs = zip(same * (clients // len(same)), other * (clients // len(other)), strict=True)
        return max(distance(a, b) for a, b in pairs)

    assert apart(limit.given) <= limit.within
    assert limit.unlike is None or apart(limit.unlike) > 1e-6


class AllPrivate(FedPer):
    """FedPer refuses this, because nothing would travel."""

    def private(self, layout: Layout) -> Model:
        return tree_map(torch.ones_like, layout.where())


def test_a_whole_private_model_is_local_training(tmp_path: Path) -> None:
    private, alone = (Posed(tmp_path, a, MOMENTUM, norm=True).outcome() for a in (AllPrivate(), algorithm("local", {})))
    assert max(distance(a, b) for a, b in zip(models(private, "personal"), models(alone, "personal"), strict=True)) == 0
