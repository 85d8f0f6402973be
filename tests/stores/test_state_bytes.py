"""A client's state as bytes and back."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlit.model_vectors import Model
from fedlit.stores.state_bytes import from_bytes, to_bytes

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 0, 3), (2, 3)])
def test_a_tensor_is_restored_bit_for_bit(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (torch.randn(shape) * 100).to(dtype)
    back = from_bytes(to_bytes({"a": torch.ones(3, dtype=torch.uint8), "b": tensor}))["b"]
    assert back.dtype == dtype and back.shape == shape
    assert back.reshape(-1).view(torch.uint8).tolist() == tensor.reshape(-1).view(torch.uint8).tolist()


def test_nan_infinity_and_minus_zero_keep_their_bits() -> None:
    numbers = torch.tensor([math.nan, -math.inf, -0.0, 1e-45])
    assert from_bytes(to_bytes(numbers)).view(torch.int32).tolist() == numbers.view(torch.int32).tolist()


def test_containers_and_plain_values_are_restored() -> None:
    state = {
        "algorithm": {"private": Model(torch.randn(4), torch.empty(0)), "rounds": 3, "rate": 0.1},
        "optimizer": {"0": {"head.weight": {"step": torch.tensor(2.0), "betas": (0.9, 0.999)}}},
        "quantize": {7: [None, True, "ä"], "levels": [torch.tensor([True, False]), (torch.tensor(3), ())]},
    }
    back = from_bytes(to_bytes(state))
    private, written = back["algorithm"].pop("private"), state["algorithm"].pop("private")
    assert isinstance(private, Model) and torch.equal(private.weights, written.weights)
    assert private.statistics.shape == (0,)
    mask, (count, empty) = back["quantize"].pop("levels")
    assert mask.tolist() == [True, False] and mask.dtype == torch.bool and count.item() == 3 and empty == ()
    state["quantize"].pop("levels")
    assert back == state


def test_a_view_is_written_without_its_base() -> None:
    rows = torch.zeros(1000, 10)
    assert len(to_bytes(rows[3])) < 200 and len(to_bytes(rows[:, 3])) < 5000
    assert torch.equal(from_bytes(to_bytes(torch.arange(6).view(2, 3).T)), torch.arange(6).view(2, 3).T)


def test_restored_tensors_are_writable() -> None:
    written = to_bytes(torch.zeros(3))
    from_bytes(written).add_(1)
    assert from_bytes(written).tolist() == [0, 0, 0]


class Trap:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


def test_pickles_are_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="holds a Trap; keep tensors"):
        to_bytes({"a": Trap(tmp_path / "ran")})
    with pytest.raises(ValueError):
        from_bytes(pickle.dumps(Trap(tmp_path / "ran")))
    assert not (tmp_path / "ran").exists()
