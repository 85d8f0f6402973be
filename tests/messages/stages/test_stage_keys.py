"""The vectors on which stages work, options that are refused, and stages that follow others."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.stages import Clip, Half, PowerSgd, Qsgd, RandomK, SignSgd, Stage, TernGrad, TopK
from fedlit.messages.wire import num_bytes
from tests.messages.stages.stage_clients import LAYOUT, P, W, clients, passed, vectors

MESSAGE = {"delta.weights": torch.zeros(P), "delta.statistics": torch.zeros(3), "steps": torch.zeros(1)}


def plan(message: dict[str, Any], algorithm: str = "FedAvg") -> MessagePlan:
    return MessagePlan(algorithm, message, {}, LAYOUT, 10, 10.0)


def checked(stage: Stage, message: dict[str, Any]) -> None:
    stage.setup(LAYOUT, 10)
    plan(message).check_keys("uplink.tried", stage.needs)
    stage.check(plan(message))


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (TopK, {"share": 0}, "TopK: share=0; write a number above 0 and at most 1."),
        (TopK, {"share": 1.5}, "share=1.5"),
        (RandomK, {"share": float("nan")}, "RandomK: share=nan"),
        (Qsgd, {"levels": 0}, "Qsgd: levels=0; write an integer of at least 1 and at most 32767."),
        (Qsgd, {"levels": 3.0}, "levels=3.0"),
        (Qsgd, {"levels": 32768}, "levels=32768"),
        (Qsgd, {"bucket": 0}, "bucket=0; write an integer of at least 1."),
        (Qsgd, {"norm": "l1"}, "norm=l1; write l2 or max."),
        (TernGrad, {"clip": 0.0}, "clip=0.0"),
        (PowerSgd, {"rank": 0}, "rank=0"),
        (Clip, {"norm": 0.0}, "norm=0.0"),
        (Clip, {"norm": float("inf")}, "norm=inf"),
        (Clip, {"quantile": 1.1}, "quantile=1.1"),
        (Clip, {"server_lr": -1.0}, "server_lr=-1.0"),
        (Half, {"keys": []}, r"Half: keys=\[\]; write a list such as \[delta\], or null."),
        (Half, {"keys": "delta"}, "keys='delta'"),
    ],
)
def test_wrong_options_are_refused(kind: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        kind(**options)


@pytest.mark.parametrize("kind", [TopK, RandomK, Qsgd, SignSgd, Half, Clip, TernGrad, PowerSgd])
def test_an_algorithm_that_moves_no_model_is_refused(kind: Any) -> None:
    with pytest.raises(InputError, match=f"{kind.__name__} works on the weights of models, and FedAvg sends none"):
        checked(kind(rank=1) if kind is PowerSgd else kind(), {"steps": torch.zeros(1)})
    checked(kind(rank=1) if kind is PowerSgd else kind(), MESSAGE)


def test_keys_that_are_not_sent_are_refused_before_work() -> None:
    with pytest.raises(InputError, match=r"uplink.tried needs gradient of a message, and FedAvg sends"):
        checked(TopK(keys=["gradient"]), MESSAGE)
    checked(TopK(keys=["delta"]), MESSAGE)
    checked(Half(keys=["delta.statistics"]), MESSAGE)
    checked(Qsgd(keys=["delta.weights.values"]), MESSAGE)
    checked(Qsgd(keys=["delta.statistics.values", "c.values"]), MESSAGE | {"c": torch.zeros(P)})
    with pytest.raises(InputError, match=r"uplink.tried needs delt of a message"):
        checked(TopK(keys=["delt"]), MESSAGE)


def test_part_of_a_model_has_no_tensors() -> None:
    part = {"delta.weights": torch.zeros(20), "delta.statistics": torch.zeros(3)}
    for stage in (TernGrad(), SignSgd(per_tensor=True)):
        with pytest.raises(InputError, match="delta.weights has length 20, .* 38 numbers, .* write per_tensor=false"):
            checked(stage, part)
    with pytest.raises(InputError, match="whole model, of length 38, and FedAvg sends 20 under delta.weights"):
        checked(PowerSgd(1), part)
    checked(TernGrad(per_tensor=False), part)


def test_the_vectors_of_control_variates_are_compressed_too() -> None:
    x, c, steps = vectors(2), vectors(2, seed=1), vectors(2, 1)
    result = passed(TopK(0.1), {W: x, "delta.statistics": vectors(2, 3), "c": c, "steps": steps})
    assert {"c.values", f"{W}.values", "steps", "delta.statistics"} <= result.wire.keys()
    assert ((result.decoded["c"] != 0).sum(1) == 4).all() and set(result.state) == {f"residual.{W}", "residual.c"}
    only = passed(TopK(0.1, keys=["delta"]), {W: x, "delta.statistics": vectors(2, 3), "c": c, "steps": steps})
    assert torch.equal(only.decoded["c"], c) and torch.equal(only.decoded[W], result.decoded[W])


def test_statistics_travel_as_they_are_unless_they_are_named() -> None:
    x, s = vectors(2), vectors(2, 5, seed=1)
    assert torch.equal(passed(Half(), {W: x, "delta.statistics": s}).decoded["delta.statistics"], s)
    named = passed(Half(["delta.statistics"]), {W: x, "delta.statistics": s}).decoded
    assert torch.equal(named[W], x) and 0 < float((named["delta.statistics"] - s).abs().max()) < 1e-3
    none = passed(Half(["delta.statistics"]), {W: x, "delta.statistics": s[:, :0]}).decoded
    assert none["delta.statistics"].shape == (2, 0)


def test_a_stage_may_encode_the_part_that_another_has_made() -> None:
    x = vectors(3)
    sparse = passed(TopK(0.5, feedback=False), {W: x})
    packed = passed(Qsgd(32767, None, "max", keys=[f"{W}.values"]), sparse.wire)
    assert num_bytes(packed.wire) == 3 * (19 * (2 + 1) + 8)
    assert packed.decoded.keys() == sparse.wire.keys()
    decoded = passed(Qsgd(1), {W: x}).client and TopK(0.5).decode(packed.decoded, None)  # type: ignore[arg-type]
    torch.testing.assert_close(decoded[W], sparse.decoded[W], rtol=0, atol=float(x.abs().max()) / 32767)


def test_a_stage_after_one_that_has_encoded_all_is_refused_by_its_name() -> None:
    wire = passed(TopK(0.1), {W: vectors(2), "delta.statistics": torch.zeros(2, 0)}).wire
    with pytest.raises(
        InputError,
        match=r"needs the weights of a model, .*write 'uplink.tried.keys=\[delta.weights.values\]', or",
    ):
        Qsgd().encode(clients(2), wire, {})
    with pytest.raises(InputError, match=r"^uplink.tried works on tensors .* floating-point numbers, and .*index is"):
        Qsgd(keys=[f"{W}.index"]).encode(clients(2), wire, {})
    with pytest.raises(InputError, match=r"^uplink.tried needs delta.weights.other, and the message"):
        Qsgd(keys=[f"{W}.other"]).encode(clients(2), wire, {})
    with pytest.raises(InputError, match="rows is a list of rows of unequal lengths"):
        Half(keys=["rows"]).encode(clients(2), {"rows": [torch.zeros(1), torch.zeros(2)]}, {})


def test_two_stages_of_a_kind_need_keys_of_their_own() -> None:
    wire = {W: vectors(2), "c": vectors(2, seed=1)}
    first = passed(Qsgd(1, keys=["c"]), wire)
    with pytest.raises(InputError, match=r"^uplink.tried: another stage has already made Qsgd of c; name other keys"):
        passed(Qsgd(127), first.wire)
    second = passed(Qsgd(127, keys=["delta"]), first.wire)
    assert torch.equal(second.decoded[W], passed(Qsgd(127, keys=["delta"]), wire).decoded[W])
    assert torch.equal(Qsgd(1, keys=["c"]).decode(second.decoded, None)["c"], first.decoded["c"])  # type: ignore
