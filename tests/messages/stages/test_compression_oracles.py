"""Stages that encode vectors by themselves against their papers' formulas (tests/oracles/stages), and their limits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.messages.stages import Half, Qsgd, RandomK, SignSgd, TernGrad, TopK
from fedlit.messages.stages.topk import index_type
from tests.messages.stages.stage_clients import P, W, passed, vectors
from tests.oracles.stages import qsgd, signsgd, topk

ROUNDS = 4
CUTS = [12, 13, 33]  # where the tensors of the model begin


def rounds(stage: Any) -> tuple[list[list[np.ndarray]], list[list[np.ndarray]]]:
    """client -> its messages, and client -> what the server decodes of them."""
    messages = [vectors(3, seed=seed) for seed in range(ROUNDS)]
    state, decoded = None, []
    for number, x in enumerate(messages):
        result = passed(stage, {W: x}, state, number=number + 1)
        state = result.state
        decoded.append(result.decoded[W])
    return [[m[k].numpy() for m in messages] for k in range(3)], [[d[k].numpy() for d in decoded] for k in range(3)]


@pytest.mark.parametrize("feedback", [True, False])
@pytest.mark.parametrize("share", [0.2, 1.0, 1e-9])
def test_topk(share: float, feedback: bool) -> None:
    messages, decoded = rounds(TopK(share, feedback))
    k = {0.2: 8, 1.0: P, 1e-9: 1}[share]
    for client in range(3):
        np.testing.assert_allclose(decoded[client], topk.decoded(messages[client], k, feedback), rtol=1e-12)


@pytest.mark.parametrize("feedback", [True, False])
@pytest.mark.parametrize("per_tensor", [True, False])
def test_signsgd(per_tensor: bool, feedback: bool) -> None:
    messages, decoded = rounds(SignSgd(feedback, per_tensor))
    for client in range(3):
        expected = signsgd.decoded(messages[client], feedback, CUTS if per_tensor else [])
        np.testing.assert_allclose(decoded[client], expected, rtol=1e-12)


@pytest.mark.parametrize("levels", [1, 2, 7, 8, 127, 128, 32767])
@pytest.mark.parametrize(("bucket", "norm"), [(None, "l2"), (8, "l2"), (8, "max"), (100, "max")])
def test_qsgd(levels: int, bucket: int | None, norm: Any) -> None:
    x = vectors(3)
    result = passed(Qsgd(levels, bucket, norm), {W: x})
    assert result.drawn is not None
    for client in range(3):
        draws = result.drawn[client].numpy()
        expected = qsgd.in_buckets(x[client].numpy(), levels, bucket or P, draws, norm == "max")
        np.testing.assert_allclose(result.decoded[W][client].numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("per_tensor", [True, False])
@pytest.mark.parametrize("clip", [2.5, 0.5, None])
def test_terngrad(clip: float | None, per_tensor: bool) -> None:
    x = vectors(3) ** 3
    result = passed(TernGrad(clip, per_tensor), {W: x})
    assert result.drawn is not None
    for client in range(3):
        cuts = CUTS if per_tensor else []
        pairs = zip(np.split(x[client].numpy(), cuts), np.split(result.drawn[client].numpy(), cuts), strict=True)
        expected = np.concatenate([qsgd.ternary(part, clip, draws) for part, draws in pairs])
        np.testing.assert_allclose(result.decoded[W][client].numpy(), expected, rtol=1e-12)


def test_many_levels_give_the_message() -> None:
    x = vectors(3)
    error = (passed(Qsgd(32767, None, "max"), {W: x}).decoded[W] - x).abs()
    assert (error <= x.abs().amax(1, keepdim=True) / 32767).all()


def test_terngrad_without_clipping_is_qsgd_with_one_level_of_the_largest() -> None:
    x = vectors(3)
    ternary = passed(TernGrad(None, per_tensor=False), {W: x}).decoded[W]
    assert torch.equal(ternary, passed(Qsgd(1, None, "max"), {W: x}).decoded[W])


def test_a_tensor_of_one_number_is_not_clipped_to_zero() -> None:
    x = vectors(3)
    assert torch.equal(passed(TernGrad(), {W: x}).decoded[W][:, 12], x[:, 12])


@pytest.mark.parametrize("feedback", [True, False])
def test_randomk_is_the_message_where_all_travel(feedback: bool) -> None:
    x = vectors(3)
    assert torch.equal(passed(RandomK(1, feedback), {W: x}).decoded[W], x)


def test_randomk_draws_other_places_for_each_client_and_round_and_key() -> None:
    x = torch.ones(6, P, dtype=torch.float64)

    def places(numbers: list[int], number: int, key: str = W) -> list[tuple[bool, ...]]:
        decoded = passed(RandomK(0.5), {key: x[: len(numbers)]}, numbers=numbers, number=number).decoded[key]
        assert ((decoded == 2) | (decoded == 0)).all() and ((decoded == 2).sum(1) == P // 2).all()
        return [tuple(row) for row in (decoded == 2).tolist()]

    sets = places([0, 1, 2, 3, 4, 5], 1) + places([0, 1, 2, 3, 4, 5], 2) + places([0, 1], 1, "other.weights")
    assert len(set(sets)) == 14
    assert places([4, 1], 1) == [sets[4], sets[1]], "the same in any chunk"


def test_each_place_is_drawn_equally_often() -> None:
    x, draws = torch.ones(4000, 10, dtype=torch.float64), 4000
    counts = (passed(RandomK(0.3), {W: x}).decoded[W] > 0).sum(0)
    assert counts.sum() == 3 * draws
    assert (counts - 0.3 * draws).abs().max() < 4.5 * (draws * 0.3 * 0.7) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_half_rounds_relative_to_the_largest(dtype: torch.dtype) -> None:
    x = torch.tensor([[1e-4, -0.1, 3e30, 2.5e25, 1e15], [0.75, 0.1, -2e-5, 3e-8, 0.0]], dtype=dtype)
    decoded = passed(Half(), {W: x}).decoded[W]
    assert decoded[0].tolist()[:2] == [0.0, 0.0], "less than 2^-40 of the largest"
    relative = ((decoded - x) / x).abs()
    assert relative[0, 2:4].max() <= 2**-11 and relative[1, :4].max() <= 2**-11
    assert decoded[1, 4] == 0
    exact = torch.tensor([[1.5, -0.25, 1024.0, 2.0**-20]], dtype=dtype) * 2.0**-60
    assert torch.equal(passed(Half(), {W: exact}).decoded[W], exact)


def test_half_is_the_nearest_16_bit_number_in_the_whole_range() -> None:
    """By numpy's binary16, with s from the exponent of the largest entry."""
    x = vectors(3) * torch.logspace(-11, 0, P, 10, dtype=torch.float64)
    result = passed(Half(), {W: x})
    for row in range(3):
        s = 2.0 ** (math.frexp(float(x[row].abs().max()))[1] - 15)
        expected = (x[row].numpy() / s).astype(np.float16).astype(np.float64) * s
        np.testing.assert_array_equal(result.decoded[W][row], expected)
        assert float(result.wire[f"{W}.scale"][row]) == s
    smallest = torch.tensor([[1.0, 2.0**-38]])
    assert torch.equal(passed(Half(), {W: smallest}).decoded[W], smallest)


def test_half_of_numbers_below_the_normal_ones_is_finite() -> None:
    x = torch.tensor([[1e-40, -1e-42, 0.0]])
    decoded = passed(Half(), {W: x}).decoded[W]
    torch.testing.assert_close(decoded, x, rtol=1e-3, atol=1e-44)


@pytest.mark.parametrize(
    ("size", "dtype"),
    [(1, torch.uint8), (256, torch.uint8), (257, torch.int16), (32768, torch.int16), (32769, torch.int32)],
)
def test_topk_numbers_places_in_the_smallest_type(size: int, dtype: torch.dtype) -> None:
    assert index_type(size) == dtype
    x = torch.zeros(1, size)
    x[0, -1] = -3.0
    result = passed(TopK(1e-9), {W: x})
    assert result.wire[f"{W}.index"].dtype == dtype and torch.equal(result.decoded[W], x)
