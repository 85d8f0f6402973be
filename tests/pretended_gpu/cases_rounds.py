"""Every algorithm, trainer, stage, reduction and sampler runs rounds on the pretended device; no loop waits for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedlit.aggregators import FedAMP, FedAvg, FedFomo, FedProx, Scaffold
from fedlit.attacks import Attack, Gaussian, NoAttack
from fedlit.messages.reductions import All, Reduction
from fedlit.messages.stages import Stage
from fedlit.settings.classes import build
from tests.aggregators import written
from tests.pretended_gpu import own_parts
from tests.pretended_gpu.runs import TRAINERS, same_on_both, shipped, shipped_classes, uncovered
from tests.samplers.by_utility import LastLosses
from tests.slow import some_slow
from tests.small_runs import OPTIONS, composed

AGGREGATORS: dict[str, Any] = {option: lambda option=option: shipped(option) for option in OPTIONS["aggregator"]}
AGGREGATORS["fedfomo"] = lambda: FedFomo(loss_on="train")  # the clients have no validation samples
AGGREGATORS |= {  # each uses a part of the contract that the options leave unused
    "sums and draws of steps": written.WholeGradients,
    "weights in the messages": written.ByLoss,
    "partial work": own_parts.PartialWork,
}
GAINS = ("scaffold", "fednova", "qfedavg")  # algorithms that read the gain
STAGES: dict[str, Any] = {
    "uniform": {"clip": own_parts.Clip()},
    "with a state": {"residual": own_parts.Residual()},
    "draws": {"noise": own_parts.Noise()},
    "list-valued": {"large": own_parts.Large()},
    "several": {
        "clip": own_parts.Clip(),
        "noise": own_parts.Noise(),
        "residual": own_parts.Residual(),
        "large": own_parts.Large(),
    },
}
SHIPPED_STAGES = shipped_classes(Stage, "fedlit.messages.stages")
REDUCTIONS = shipped_classes(Reduction, "fedlit.messages.reductions")
ATTACKS = {
    name: kind([1, 2]) for name, kind in shipped_classes(Attack, "fedlit.attacks").items() if kind is not NoAttack
}
del ATTACKS["Backdoor"]  # the samples are no images
del REDUCTIONS["Ckks"]  # its noise follows no seed: two runs do not have the same bits
del SHIPPED_STAGES["Seal"], ATTACKS["ManInTheMiddle"], ATTACKS["Replay"]  # bytes of messages are read on the CPU
ATTACKS["Gaussian, together"] = Gaussian([1, 2], knowledge="all")
ARGUMENTS: dict[str, dict[str, Any]] = {  # of stages and reductions that need some, by the name of the class
    **{name: {"f": 0} for name in ("Krum", "MultiKrum", "Bulyan")},  # there are three clients
    "Bucketing": {"inner": REDUCTIONS["Median"]()},
    **{name: {"most_examples": 50} for name in ("SecureSum", "Paillier")},
}
SAMPLERS = {option: build(composed(f"sampler={option}").config.sampler, "sampler") for option in OPTIONS["sampler"]}
SAMPLERS |= {"by loss": own_parts.Highest(), "with a state": LastLosses()}

QUICK = {("lightning", "fedprox"), ("rows, kept optimisers", "fedper")}
# one mean, sums over the shard, private weights, two fits, a gradient of the algorithm's, whole messages, groups
QUICK |= {("stack", a) for a in ("scaffold", "fedper", "ditto", "moon", "perfedavg", "fedamp", "cfl")}
QUICK |= {("stack", a) for a in ("sums and draws of steps", "weights in the messages", "partial work")}
WITH_STAGES = [(trainer, stages) for trainer in TRAINERS for stages in [*STAGES, *SHIPPED_STAGES]]
QUICK_STAGES = [("stack", stages) for stages in ("several", "Clip", "Qsgd", "PowerSgd")]
# distances, projections, data of the server, a state, iterations, sorted entries, sums that nobody reads
QUICK_REDUCTIONS = ["Krum", "Dnc", "FlTrust", "FoolsGold", "GeometricMedian", "TrimmedMean", "SecureSum"]


@pytest.mark.parametrize(
    ("trainer", "aggregator"), some_slow([(t, a) for t in TRAINERS for a in AGGREGATORS], sorted(QUICK))
)
def test_an_algorithm_gives_the_bits_of_the_cpu_without_a_wait(trainer: str, aggregator: str, tmp_path: Path) -> None:
    if "kept" in trainer and aggregator in GAINS:
        pytest.skip("the gain is not defined for kept optimisers")
    same_on_both(tmp_path, trainer, AGGREGATORS[aggregator])


@pytest.mark.parametrize("trainer", some_slow(TRAINERS, ["stack"]))
def test_local_updates_do_not_wait(trainer: str, tmp_path: Path) -> None:
    same_on_both(tmp_path, trainer, FedAvg, updates=3)


@pytest.mark.parametrize(("trainer", "stages"), some_slow(WITH_STAGES, QUICK_STAGES))
def test_a_stage_does_not_wait(trainer: str, stages: str, tmp_path: Path) -> None:
    uplink = STAGES[stages] if stages in STAGES else {"stage": SHIPPED_STAGES[stages](**ARGUMENTS.get(stages, {}))}
    same_on_both(tmp_path, trainer, FedProx, uplink=uplink)


@pytest.mark.parametrize("reduction", [own_parts.Blind(), own_parts.Median()])
def test_a_reduction_does_not_wait(reduction: Any, tmp_path: Path) -> None:
    same_on_both(tmp_path, "stack", FedAvg, rounds=1, reduction=reduction)


@pytest.mark.parametrize("name", some_slow(REDUCTIONS, QUICK_REDUCTIONS))
def test_a_shipped_reduction_does_not_wait(name: str, tmp_path: Path) -> None:
    reduction = REDUCTIONS[name](**ARGUMENTS.get(name, {}))
    takes_all = type(reduction).finish is All.finish
    aggregator = FedAMP if takes_all else FedAvg
    same_on_both(tmp_path, "stack", aggregator, rounds=2, reduction=reduction, server_samples=5 * (name == "FlTrust"))


@pytest.mark.parametrize("attack", some_slow(ATTACKS, ["LabelFlip", "FreeRider", "Mimic"]))
def test_an_attack_does_not_wait(attack: str, tmp_path: Path) -> None:
    same_on_both(tmp_path, "stack", Scaffold, rounds=3, attack=ATTACKS[attack])


@pytest.mark.parametrize("sampler", some_slow(SAMPLERS, ["by loss", "with a state"]))
def test_a_sampler_chooses_the_same_clients(sampler: str, tmp_path: Path) -> None:
    same_on_both(tmp_path, "stack", FedAvg, sampler=SAMPLERS[sampler])


def test_every_option_has_a_case() -> None:
    assert uncovered("aggregator", AGGREGATORS) == set()
    assert uncovered("trainer", [option for option, _, _ in TRAINERS.values()]) == set()
    assert uncovered("sampler", SAMPLERS) == set()
    assert {"Mean", "All"} <= REDUCTIONS.keys()
