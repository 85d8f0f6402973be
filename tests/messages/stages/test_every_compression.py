"""What holds of each stage that encodes vectors by themselves: zeros, rows, types, bytes, error feedback, factors."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import pytest
import torch
from torch import Tensor

from fedlit.messages.sent import Sent
from fedlit.messages.stages import Half, Qsgd, RandomK, SignSgd, TernGrad, TopK
from fedlit.messages.stages.compression import Compression
from fedlit.messages.wire import num_bytes
from tests.messages.stages.stage_clients import SIZES, ManyRows, P, W, passed, vectors

Made = Callable[[], Compression]
ALL: dict[str, tuple[Made, Callable[[int, int], int]]] = {  # -> bytes of a vector of n numbers of b bytes
    "topk": (lambda: TopK(0.3), lambda n, b: ceil(0.3 * n) * (b + 1)),
    "topk without feedback": (lambda: TopK(0.3, feedback=False), lambda n, b: ceil(0.3 * n) * (b + 1)),
    "topk of all": (lambda: TopK(1), lambda n, b: n * (b + 1)),
    "topk of one": (lambda: TopK(1e-6), lambda n, b: b + 1),
    "randomk": (lambda: RandomK(0.3), lambda n, b: ceil(0.3 * n) * b),
    "randomk with feedback": (lambda: RandomK(0.3, feedback=True), lambda n, b: ceil(0.3 * n) * b),
    "randomk of all": (lambda: RandomK(1), lambda n, b: n * b),
    "qsgd 1": (lambda: Qsgd(1, 8), lambda n, b: ceil(n / 4) + ceil(n / 8) * b),
    "qsgd 2": (lambda: Qsgd(2, None), lambda n, b: ceil(n / 2) + b),
    "qsgd 7": (lambda: Qsgd(7, None, "max"), lambda n, b: ceil(n / 2) + b),
    "qsgd 8": (lambda: Qsgd(8), lambda n, b: n + b),
    "qsgd 127": (lambda: Qsgd(127), lambda n, b: n + b),
    "qsgd 128": (lambda: Qsgd(128), lambda n, b: 2 * n + b),
    "terngrad": (lambda: TernGrad(per_tensor=False), lambda n, b: ceil(n / 4) + b),
    "terngrad without clipping": (lambda: TernGrad(None, per_tensor=False), lambda n, b: ceil(n / 4) + b),
    "signsgd": (lambda: SignSgd(), lambda n, b: ceil(n / 8) + b),
    "signsgd without feedback": (lambda: SignSgd(feedback=False), lambda n, b: ceil(n / 8) + b),
    "half": (lambda: Half(), lambda n, b: 2 * n + b),
}
WITH_FEEDBACK = ["topk", "topk of all", "topk of one", "randomk with feedback", "signsgd"]
UNBIASED = [
    *("randomk", "randomk of all", "qsgd 1", "qsgd 2", "qsgd 7", "qsgd 8", "qsgd 127", "qsgd 128"),
    "terngrad without clipping",
]
PER_TENSOR: dict[str, Made] = {
    "terngrad": lambda: TernGrad(),
    "signsgd": lambda: SignSgd(per_tensor=True),
}
every = pytest.mark.parametrize("name", ALL)


def made(name: str) -> Compression:
    return ALL[name][0]()


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_are_those_of_the_formula(name: str, dtype: torch.dtype) -> None:
    for size in (1, 2, 7, 8, 9, 31, P):
        x = vectors(3, size, dtype)
        result = passed(made(name), {W: x, "delta.statistics": torch.zeros(3, 0)})
        assert num_bytes(result.wire) == 3 * ALL[name][1](size, x.element_size()), size
        assert result.decoded[W].shape == x.shape and result.decoded[W].dtype == dtype
        assert torch.isfinite(result.decoded[W]).all()


@every
def test_zero_stays_zero(name: str) -> None:
    for dtype in (torch.float32, torch.float64):
        zero = torch.zeros(2, P, dtype=dtype)
        result = passed(made(name), {W: zero})
        assert torch.equal(result.decoded[W], zero)
        for residual in result.state.values():
            assert torch.equal(residual, zero)


@every
def test_the_other_values_and_the_input_stay(name: str) -> None:
    wire: dict[str, Any] = {
        W: vectors(3),
        "delta.statistics": vectors(3, 4),
        "steps": torch.tensor([[1], [2], [3]]),
        "rows": [torch.zeros(2), torch.ones(3), torch.ones(1)],
    }
    before = {key: [t.clone() for t in v] if isinstance(v, list) else v.clone() for key, v in wire.items()}
    stage, rows = made(name), wire.pop("rows")
    result = passed(stage, wire)
    given = dict(wire)
    stage.encode(result.client, given, result.state)
    assert given.keys() == wire.keys(), "the dict of the caller"
    for key, value in wire.items():
        assert torch.equal(value, before[key])
        if key != W:
            assert torch.equal(result.decoded[key], value) and torch.equal(result.wire[key], value)
    encoded, _ = stage.encode(result.client, wire | {"rows": rows}, result.state)
    assert encoded["rows"] is rows and all(torch.equal(a, b) for a, b in zip(rows, before["rows"], strict=True))


@every
@pytest.mark.parametrize("size", [1, P])
def test_rows_are_encoded_as_each_alone(name: str, size: int) -> None:
    numbers = [4, 7, 9, 2]
    x, stage = vectors(4, size), made(name)
    first = passed(stage, {W: x}, numbers=numbers)
    together = passed(stage, {W: 2 * x}, first.state, numbers, number=2)
    for row, client in enumerate(numbers):
        state = {key: value[[row]] for key, value in first.state.items()}
        alone = passed(stage, {W: 2 * x[[row]]}, state, [client], number=2)
        torch.testing.assert_close(alone.decoded[W][0], together.decoded[W][row], rtol=1e-12, atol=0)
        for key, value in together.wire.items():
            torch.testing.assert_close(alone.wire[key][0], value[row], rtol=1e-12, atol=0)


@every
def test_one_huge_entry_overflows_nothing(name: str) -> None:
    for dtype, huge in ((torch.float32, 3e37), (torch.float64, 1e307)):
        x = vectors(2, P, dtype)
        x[1, 5] = -huge
        result = passed(made(name), {W: x})
        assert torch.isfinite(result.decoded[W]).all()
        assert all(torch.isfinite(v).all() for v in result.wire.values() if v.is_floating_point())
        largest = float(result.decoded[W][1].abs().max())
        assert largest <= 1.01 * huge * (1 if "randomk" not in name else P)
        if name in ("topk", "topk of one", "qsgd 7", "half", "topk of all"):
            assert float(result.decoded[W][1, 5]) == pytest.approx(-huge, rel=1e-3)


@every
def test_tiny_numbers_are_not_lost(name: str) -> None:
    for dtype, tiny in ((torch.float32, 2.0**-100), (torch.float64, 2.0**-960)):
        x = vectors(2, P, dtype)
        given, scaled = passed(made(name), {W: x}).decoded[W], passed(made(name), {W: tiny * x}).decoded[W]
        torch.testing.assert_close(scaled / tiny, given, rtol=1e-5, atol=1e-5)


@every
def test_16_bit_models_come_back_in_16_bits(name: str) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        x = vectors(3, 3000).to(dtype)
        stage = made(name)
        result = passed(stage, {W: x})
        assert result.decoded[W].dtype == dtype and torch.isfinite(result.decoded[W]).all()
        assert float(result.decoded[W].abs().sum()) > 0
        again = passed(stage, {W: x}, result.state, number=2)
        assert [v.dtype for v in again.state.values()] == [v.dtype for v in stage.state(again.client, {W: x}).values()]


@every
def test_floating_parts_are_factors_of_the_message(name: str) -> None:
    """`clip` scales the parts of an encoded message, row by row."""
    stage = made(name)
    result = passed(stage, {W: vectors(3)})
    factor = torch.tensor([[2.0], [0.25], [0.5]], dtype=torch.float64)
    by_row = {key: factor.reshape(-1, *[1] * (value.dim() - 1)) for key, value in result.wire.items()}
    scaled = {key: v * by_row[key] if v.is_floating_point() else v for key, v in result.wire.items()}
    decoded = stage.decode(scaled, Sent([0, 1, 2], result.client.round))
    assert torch.equal(decoded[W], result.decoded[W] * factor)


@every
def test_vectors_of_more_axes_are_vectors(name: str) -> None:
    x = vectors(2, 12)
    flat_rows = passed(made(name), {W: x}).decoded[W]
    assert torch.equal(passed(made(name), {W: x.reshape(2, 3, 4)}).decoded[W], flat_rows.reshape(2, 3, 4))


@pytest.mark.parametrize("name", WITH_FEEDBACK)
def test_what_is_decoded_and_what_is_kept_are_the_message_and_what_was_kept(name: str) -> None:
    stage, state = made(name), None
    kept = torch.zeros(3, P, dtype=torch.float64)
    total, decoded = kept.clone(), kept.clone()
    for number in range(1, 6):
        x = vectors(3, seed=number)
        result = passed(stage, {W: x}, state, number=number)
        state, total, decoded = result.state, total + x, decoded + result.decoded[W]
        torch.testing.assert_close(result.decoded[W] + state[f"residual.{W}"], x + kept, rtol=1e-12, atol=1e-12)
        kept = state[f"residual.{W}"]
    torch.testing.assert_close(decoded + kept, total, rtol=1e-12, atol=1e-12)
    assert name == "topk of all" or float(kept.abs().max()) > 0.1


@pytest.mark.parametrize("name", [name for name in ALL if name not in WITH_FEEDBACK])
def test_the_others_keep_nothing(name: str) -> None:
    assert passed(made(name), {W: vectors(2)}).state == {}


@pytest.mark.parametrize("name", UNBIASED)
def test_the_mean_over_10000_draws_is_the_message(name: str) -> None:
    draws = 10_000
    x = vectors(1, 13)
    x[0, 3] = 0.0
    decoded = passed(made(name), {W: x.expand(draws, -1).clone()}, kind=ManyRows).decoded[W]
    error = (decoded.mean(0) - x[0]).abs()
    standard_error = decoded.std(0) / draws**0.5
    assert (error <= 4.5 * standard_error + 1e-12).all(), (error / standard_error).max()
    assert "of all" in name or float(standard_error.max()) > 0, "nothing was drawn"


@pytest.mark.parametrize("name", PER_TENSOR)
def test_each_tensor_may_have_a_scale(name: str) -> None:
    x = vectors(3)
    x[:, :20] *= 1e6
    result = passed(PER_TENSOR[name](), {W: x})
    scales = result.wire[f"{W}.scale"]
    assert scales.shape == (3, 4)
    absolute: list[Tensor] = list(result.decoded[W].abs().split(SIZES, 1))
    for g, part in enumerate(absolute):
        assert torch.equal(part.amax(1), scales[:, g])
    values = x.abs().split(SIZES, 1)
    if name == "signsgd":
        expected = torch.stack([part.mean(1) for part in values], 1)
    else:
        limits = [2.5 * part.square().mean(1).sqrt() for part in values]
        expected = torch.stack([part.amax(1).minimum(limit) for part, limit in zip(values, limits, strict=True)], 1)
    torch.testing.assert_close(scales, expected)
    assert num_bytes(result.wire) == 3 * (ceil(P / (8 if name == "signsgd" else 4)) + 4 * 8)
