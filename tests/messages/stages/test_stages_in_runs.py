"""Rounds with the stages of `uplink`: any chunks and engine, limits, bytes, states, resumed runs."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlit.aggregators import IFCA, FedAvg, FedNova, Scaffold
from fedlit.engines import Processes
from fedlit.messages.stages import Clip, Half, PowerSgd, Qsgd, RandomK, SignSgd, Stage, TernGrad, TopK
from fedlit.samplers import Poisson
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests import small_runs
from tests.aggregators.federations import Listed, Running
from tests.messages.stages.stage_clients import W
from tests.slow import some_slow
from tests.small_runs import numbers, rows, same_bits, saved

P = 53  # of the network, in 64 bits
STAGES: dict[str, tuple[Callable[[], dict[str, Stage]], int]] = {  # -> bytes of the weights of a message
    "topk": (lambda: {"topk": TopK(0.2)}, 11 * (8 + 1)),
    "randomk": (lambda: {"randomk": RandomK(0.2)}, 11 * 8),
    "qsgd": (lambda: {"qsgd": Qsgd(7, 16)}, ceil(P / 2) + 4 * 8),
    "terngrad": (lambda: {"terngrad": TernGrad()}, ceil(P / 4) + 4 * 8),
    "signsgd": (lambda: {"signsgd": SignSgd()}, ceil(P / 8) + 8),
    "half": (lambda: {"half": Half()}, 2 * P + 8),
    "clip": (lambda: {"clip": Clip(0.1, quantile=0.5)}, 8 * P + 8),
    "topk, qsgd, clip": (
        lambda: {"a": TopK(0.2), "b": Qsgd(7, None, keys=[f"{W}.values"]), "clip": Clip(0.1)},
        11 + 6 + 8,
    ),
    "powersgd": (lambda: {"powersgd": PowerSgd(1)}, 8 * (5 + 6 + 3 + 5 + P - 45)),
}
TRAINERS: list[tuple[Any, dict[str, Any]]] = [
    (LightningTrainer, {}),
    (VectorizedTrainer, {"stack": "always"}),
    (VectorizedTrainer, {"stack": "always", "chunk": 3}),
]


def ran(folder: Path, stages: dict[str, Stage], rounds: int = 3, **options: Any) -> Running:
    return Running(folder, FedAvg(), uplink=stages, **options).go(rounds)


@pytest.mark.parametrize("name", some_slow(STAGES, ["topk, qsgd, clip", "powersgd"]))
def test_any_chunks_give_the_same_messages_and_their_bytes(name: str, tmp_path: Path) -> None:
    made, size = STAGES[name]
    first, *others = [ran(tmp_path, made(), kind=kind, **options) for kind, options in TRAINERS]
    for run in others:
        torch.testing.assert_close(run.weights, first.weights, rtol=1e-9, atol=1e-9)
        assert [row["comm/bytes_up"] for row in run.rows] == [row["comm/bytes_up"] for row in first.rows]
    assert first.rows[0]["comm/bytes_up"] == 4 * size
    assert float((first.weights - first.start.weights).abs().max()) > 1e-4
    assert float((first.weights - ran(tmp_path, {}).weights).abs().max()) > 1e-6, "the stage did something"


@pytest.mark.slow
def test_workers_send_the_same_as_this_process(tmp_path: Path) -> None:
    stages = {"a": TopK(0.2), "b": SignSgd(keys=[f"{W}.values"]), "clip": Clip(0.1, 0.5)}
    serial = ran(tmp_path, stages, 2)
    with Processes(workers=2) as engine:
        parallel = ran(tmp_path, stages, 2, engine=engine)
    assert torch.equal(parallel.weights, serial.weights)
    assert parallel.rows[1]["comm/bytes_up"] == serial.rows[1]["comm/bytes_up"]


@pytest.mark.parametrize(
    ("stages", "tolerance"),
    [
        ({"topk": TopK(1.0)}, 0.0),
        ({"randomk": RandomK(1.0)}, 0.0),
        ({"clip": Clip(1e9)}, 0.0),
        ({"qsgd": Qsgd(32767, 1, "max")}, 1e-12),
        ({"terngrad": TernGrad(None), "clip": Clip(1e9)}, 0.5),
        ({"half": Half()}, 1e-3),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_limits_are_the_algorithm_alone(stages: dict[str, Stage], tolerance: float, tmp_path: Path) -> None:
    plain, run = ran(tmp_path, {}, 2), ran(tmp_path, stages, 2)
    assert float((run.weights - plain.weights).abs().max()) <= tolerance


FEEDBACK: list[Stage] = [TopK(0.2), SignSgd(), RandomK(0.2, True), PowerSgd(1)]


@pytest.mark.parametrize("stage", FEEDBACK, ids=lambda stage: type(stage).__name__)
def test_a_client_that_is_seldom_asked_keeps_its_feedback(stage: Stage, tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed([0, 1], [1, 2], [2, 1], [0, 2]), uplink={"s": stage})
    kept = []
    for _ in range(4):
        run.go()
        kept.append([state and state["stages"]["s"][f"residual.{W}"] for state in run.state.clients.get(range(3))])
    assert kept[0][2] is None and kept[0][0].any()
    assert torch.equal(kept[0][0], kept[1][0]) and torch.equal(kept[0][0], kept[2][0])
    assert not torch.equal(kept[2][0], kept[3][0]) and not torch.equal(kept[0][1], kept[1][1])


def test_control_variates_are_compressed_and_clipped_with_the_model(tmp_path: Path) -> None:
    run = Running(tmp_path, Scaffold(), uplink={"topk": TopK(0.25), "clip": Clip(0.05)}).go(2)
    plain = Running(tmp_path, Scaffold()).go(2)
    assert run.rows[1]["comm/bytes_up"] == 4 * 2 * 14 * (8 + 1)
    assert plain.rows[1]["comm/bytes_up"] == 4 * 2 * 53 * 8
    assert float(run.weights.sub(run.start.weights).norm()) <= 2 * 0.05


def test_the_row_has_the_norm_and_the_share_of_clipped_clients(tmp_path: Path) -> None:
    run = ran(tmp_path, {"limit": Clip(0.1, quantile=0.5, server_lr=0.5)})
    norms = [row["uplink/limit/norm"] for row in run.rows]
    clipped = [row["uplink/limit/clipped"] for row in run.rows]
    assert norms[0] == pytest.approx(0.1) and 0 < clipped[0] <= 1
    for number in (0, 1):
        assert 0.1 <= norms[number] < norms[number + 1] < norms[number] * 1.3
    constant = ran(tmp_path, {"limit": Clip(1e-3)}).rows[-1]
    assert constant["uplink/limit/clipped"] == 1 and "uplink/limit/norm" not in constant


@pytest.mark.parametrize("algorithm", [FedNova, IFCA])
def test_the_norm_adapts_under_algorithms_that_unpack_messages(algorithm: Any, tmp_path: Path) -> None:
    """`unpack` gives other keys than it gets, and does not see those of the stage."""
    run = Running(tmp_path, algorithm(), uplink={"c": Clip(1e9, quantile=0.25, server_lr=1.0)}).go(2)
    first, second = (row["uplink/c/norm"] for row in run.rows)
    assert second / first == pytest.approx(torch.tensor(0.25 - 1.0).exp().item())


def test_the_quantile_weighs_clients_as_other_values_are_weighed(tmp_path: Path) -> None:
    """Of messages with norms around S: b is the share of the samples whose clients are below."""
    run = Running(tmp_path, FedAvg(weighting="uniform"), uplink={"c": Clip(1e9, quantile=0.25, server_lr=1.0)}).go(2)
    first, second = (row["uplink/c/norm"] for row in run.rows)
    assert second / first == pytest.approx(torch.tensor(0.25 - 1.0).exp().item())


def test_a_round_without_clients_keeps_the_norm_and_the_factors(tmp_path: Path) -> None:
    for stage in (Clip(0.1, quantile=0.5), PowerSgd(1)):
        run = Running(tmp_path, FedAvg(), Poisson(1e-9), uplink={"s": stage})
        before = {key: value.clone() for key, value in run.state.messages["uplink"]["s"].items()}
        run.go(2)
        after = run.state.messages["uplink"]["s"]
        assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)


TINY = ["data=digits", "clients=4", "participation=0.5", "threads=1", "progress=none", "logger=none"]
OPTIONS = {
    "powersgd": ["uplink=[powersgd]"],
    "the others": ["uplink=[signsgd,clip]", "uplink.clip.quantile=0.5"],
    "random": ["uplink=[randomk,qsgd]", "uplink.qsgd.keys=[delta.weights.values]"],
}


@pytest.mark.parametrize("name", some_slow(list(OPTIONS), ["powersgd"]))
def test_a_resumed_run_has_the_same_numbers(name: str, in_folder: Path) -> None:
    words = [*TINY, "checkpoint.every=1", "checkpoint.keep=9", *OPTIONS[name]]
    assert small_runs.command(*words, "rounds=3", "hydra.run.dir=uninterrupted") == 0
    assert small_runs.command(*words, "rounds=1", "hydra.run.dir=resumed") == 0
    assert small_runs.command("resume=resumed", "rounds=3") == 0
    assert numbers(Path("resumed")) == numbers(Path("uninterrupted"))
    assert same_bits(saved(Path("resumed"), 3), saved(Path("uninterrupted"), 3))
    if name == "the others":
        assert len({row["uplink/clip/norm"] for row in rows(Path("resumed"))}) == 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["aggregator=fedper", *OPTIONS["powersgd"]], "PowerSgd needs vectors of the whole model"),
        ([*OPTIONS["powersgd"], "uplink.powersgd.rank=500"], "rank=500 makes no matrix of the model smaller"),
        (["aggregator=local", *OPTIONS["powersgd"]], "PowerSgd works on the weights of models, and Local sends none"),
        (
            [*OPTIONS["random"], "uplink.qsgd.keys=null"],
            "uplink.qsgd needs the weights of a model, and the message that reaches it has",
        ),
        ([*OPTIONS["random"], "uplink.randomk.keys=[gradient]"], "uplink.randomk needs gradient"),
    ],
    ids=["part", "rank", "no model", "encoded", "no key"],
)
def test_what_cannot_be_is_refused_before_the_first_round(
    words: list[str], sentence: str, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert small_runs.command(*TINY, "checkpoint.every=0", *words) == 2
    assert sentence in capsys.readouterr().err
