"""Clipped messages against the formulas (tests/oracles/stages/clip.py), alone and after compression."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.messages.sent import Sent
from fedlit.messages.stages import Clip, Half, Qsgd, SignSgd, Stage, TopK
from fedlit.messages.wire import Wire, num_bytes
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound
from tests.messages.stages.stage_clients import LAYOUT, P, W, clients, passed, vectors
from tests.oracles.stages import clip

ROUND = ServerRound(1, 0, [0, 1, 2], 10, arrived=[0, 1, 2])


def clipped(stage: Clip, wire: Wire, received: Wire | None = None) -> tuple[Wire, dict[str, Tensor]]:
    """The clipped wire and the notes."""
    stage.setup(LAYOUT, 10)
    client = clients(len(wire[W]))
    client.received = received or {}
    result, state = stage.encode(client, wire, {})
    assert state == {}
    return result, client.notes


def test_all_vectors_of_a_model_together_have_the_norm() -> None:
    x, c = vectors(3), vectors(3, seed=1)
    x[1], c[1] = 0.01 * x[1], 0.01 * c[1]
    wire = {W: x, "delta.statistics": vectors(3, 4), "c": c, "steps": torch.ones(3, 1), "n": torch.ones(3, 1).long()}
    result, notes = clipped(Clip(2.0), wire)
    for client in range(3):
        expected = clip.clipped([x[client].numpy(), c[client].numpy()], 2.0)
        np.testing.assert_allclose(result[W][client], expected[0], rtol=1e-12)
        np.testing.assert_allclose(result["c"][client], expected[1], rtol=1e-12)
    for key in ("delta.statistics", "steps", "n"):
        assert torch.equal(result[key], wire[key])
    assert result.keys() == wire.keys() and num_bytes(result) == num_bytes(wire)
    assert notes["clipped"].tolist() == [1, 0, 1]


def test_named_vectors_alone_have_the_norm() -> None:
    x, c = vectors(3), vectors(3, seed=1)
    result, _ = clipped(Clip(2.0, keys=["delta"]), {W: x, "c": c})
    torch.testing.assert_close(result[W].norm(dim=1), torch.full((3,), 2.0, dtype=torch.float64))
    assert torch.equal(result["c"], c)


def test_zero_and_small_messages_stay_and_huge_ones_have_the_norm() -> None:
    for dtype, huge in ((torch.float32, 1e37), (torch.float64, 1e307)):
        x = vectors(4, P, dtype)
        x[0], x[1], x[2] = 0, 1e-30 * x[1], huge * x[2].sign()
        result, notes = clipped(Clip(1.5), {W: x})
        assert torch.equal(result[W][:2], x[:2])
        torch.testing.assert_close(result[W][2:].norm(dim=1), torch.full((2,), 1.5, dtype=dtype))
        assert result[W].dtype == dtype and notes["clipped"].tolist() == [0, 0, 1, 1]
    half = torch.full((1, 9000), 200.0, dtype=torch.float16)
    result, _ = clipped(Clip(1.0), {W: half})
    assert result[W].dtype == torch.float16 and float(result[W].float().norm()) == pytest.approx(1, rel=1e-3)


def test_rows_are_clipped_as_each_alone() -> None:
    x = vectors(3)
    together, _ = clipped(Clip(1.0), {W: x})
    for row in range(3):
        torch.testing.assert_close(clipped(Clip(1.0), {W: x[[row]]})[0][W][0], together[W][row], rtol=1e-13, atol=0)


@pytest.mark.parametrize("before", [TopK(0.3), Qsgd(3, 8), SignSgd(), Half()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("quantile", [None, 0.5])
def test_after_compression_the_decoded_message_has_the_norm(before: Any, quantile: float | None) -> None:
    x = vectors(3)
    x[1] *= 1e-3
    encoded = passed(before, {W: x, "delta.statistics": vectors(3, 2)})
    stage = Clip(0.5, quantile)
    stage.setup(LAYOUT, 10)
    client = encoded.client
    client.received = {"norm": torch.tensor([0.5])}
    sent = Sent([0, 1, 2], client.round)
    client.decoded = lambda wire: before.decode(wire, sent)
    wire, _ = stage.encode(client, dict(encoded.wire), {})
    decoded = before.decode(wire, sent)
    for row in range(3):
        (expected,) = clip.clipped([encoded.decoded[W][row].numpy()], 0.5)
        np.testing.assert_allclose(decoded[W][row], expected, rtol=1e-12)
    assert wire.keys() - encoded.wire.keys() == (set() if quantile is None else {"clip.below"})
    assert torch.equal(wire["delta.statistics"], encoded.wire["delta.statistics"])


def test_the_norm_follows_a_quantile() -> None:
    rng = np.random.default_rng(1)
    rounds = [[rng.standard_normal(P) * scale for scale in (0.2, 1.0, 5.0)] for _ in range(6)]
    stage = Clip(1.0, quantile=0.4, server_lr=0.3)
    server = stage.server_state(Model(torch.zeros(P, dtype=torch.float64), torch.zeros(0)))
    assert num_bytes(stage.broadcast(server)) == 8
    norms, reported = [float(server["norm"])], []
    for updates in rounds:
        wire, notes = clipped(stage, {W: torch.from_numpy(np.stack(updates))}, stage.broadcast(server))
        for row, update in enumerate(updates):
            np.testing.assert_allclose(wire[W][row], clip.clipped([update], norms[-1])[0], rtol=1e-12)
        assert wire["clip.below"].shape == (3, 1)
        assert torch.equal(notes["clipped"], 1 - wire["clip.below"][:, 0])
        reduced = {key: value.mean(0) for key, value in wire.items()}
        message, server, report = stage.reduced(reduced, server, ROUND)
        assert message.keys() == {W} and "clip.below" in reduced, "the argument stays"
        norms.append(float(server["norm"]))
        reported.append(report["norm"])
    expected = clip.norms(1.0, 0.4, 0.3, rounds)
    np.testing.assert_allclose(norms, expected, rtol=1e-12)
    np.testing.assert_allclose(reported, expected[:-1], rtol=1e-12)
    assert max(norms) > 1.01


def test_the_norm_of_a_16_bit_model_has_32_bits() -> None:
    """A step of exp(0.0002) is lost in the 8 bits of bfloat16."""
    stage = Clip(1.0, quantile=0.501, server_lr=0.2)
    server = stage.server_state(Model(torch.zeros(P, dtype=torch.bfloat16), torch.zeros(0)))
    wire = {W: torch.eye(2, P, dtype=torch.bfloat16) * torch.tensor([[0.5], [1.5]], dtype=torch.bfloat16)}
    encoded, _ = clipped(stage, wire, stage.broadcast(server))
    _, server, _ = stage.reduced({key: value.mean(0) for key, value in encoded.items()}, server, ROUND)
    assert float(server["norm"]) == pytest.approx(np.exp(0.2 * 0.001), rel=1e-6)
    assert encoded[W].dtype == torch.bfloat16


def test_the_norm_settles_where_a_share_of_the_clients_is_below() -> None:
    stage = Clip(0.1, quantile=0.5)
    server = stage.server_state(Model(torch.zeros(P, dtype=torch.float64), torch.zeros(0)))
    wire = {W: torch.eye(11, P, dtype=torch.float64) * torch.arange(1, 12)[:, None]}
    for _ in range(100):
        encoded, _ = clipped(stage, wire, stage.broadcast(server))
        _, server, _ = stage.reduced({key: value.mean(0) for key, value in encoded.items()}, server, ROUND)
    assert 5 <= float(server["norm"]) <= 7


def test_a_constant_norm_keeps_nothing_and_needs_no_equal_weights() -> None:
    stage = Clip(1.0)
    assert stage.server_state(Model(torch.zeros(P), torch.zeros(0))) == {} == stage.broadcast({})
    assert stage.reduced({W: torch.ones(2)}, {}, ROUND)[1:] == ({}, {})
    assert not stage.uniform and not stage.decodes and stage.place == "limit"


def test_the_bound_of_the_messages() -> None:
    assert Clip(2.0).bound(None) == 2.0 == Clip(2.0).bound(3.0)
    assert Clip(2.0).bound(1.0) == 1.0
    assert Clip(2.0, quantile=0.5).bound(None) is None is Clip(2.0, keys=["delta"]).bound(None)
    assert Clip(2.0, quantile=0.5).bound(3.0) == 3.0 == Clip(2.0, keys=["delta"]).bound(3.0)
    assert all(stage.bound(1.0) is None for stage in (TopK(), Qsgd(), Stage()))


def test_two_norms_that_adapt_are_refused() -> None:
    wire, _ = clipped(Clip(1.0, 0.5), {W: vectors(2)}, {"norm": torch.ones(1)})
    with pytest.raises(InputError, match=r"uplink.tried: another stage has already sent clip.below"):
        clipped(Clip(1.0, 0.5), wire, {"norm": torch.ones(1)})
    assert math.isclose(float(clipped(Clip(0.5), wire)[0][W][0].norm()), 0.5)


def test_a_norm_that_cannot_adapt_is_said() -> None:
    with pytest.raises(InputError, match=r"^Clip: quantile=0.5 needs the mean of clip.below, and the reduction"):
        Clip(1.0, quantile=0.5).reduced({W: torch.ones(3)}, {"norm": torch.ones(1)}, ROUND)


def test_under_a_reduction_that_hands_all_messages_over_the_norm_is_one_number() -> None:
    stage = Clip(1.0, quantile=0.5, server_lr=1.0)
    reduced = {W: vectors(4), "clip.below": torch.tensor([[1.0], [0.0], [0.0], [0.0]])}
    message, server, _ = stage.reduced(reduced, {"norm": torch.ones(1, dtype=torch.float64)}, ROUND)
    assert message.keys() == {W} and server["norm"].shape == (1,)
    assert float(server["norm"]) == pytest.approx(math.exp(0.25))
