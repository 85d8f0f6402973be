"""What is finite: tested by a sum, whose overflow is no fault."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedlit.errors import InputError
from fedlit.messages.finite import check_reduced, check_server_state, finite_rows, first_not_finite
from fedlit.model_vectors import Model

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SHORT = [torch.float8_e4m3fn, torch.float8_e5m2]
COMPLEX = [torch.complex64, torch.complex128]


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_row_is_finite_if_each_number_is_even_where_their_sum_overflows(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    rows = torch.tensor(
        [[largest, largest], [1.0, float("nan")], [float("inf"), -float("inf")], [0.0, 1.0]], dtype=dtype
    )
    assert finite_rows([rows], 4).tolist() == [True, False, False, True]
    assert finite_rows([torch.zeros(4, 3), rows[:, :, None]], 4).tolist() == [True, False, False, True]
    assert finite_rows([rows[:1]], 1).tolist() == [True]


@pytest.mark.parametrize("dtype", [*FLOATS, *SHORT, *COMPLEX])
@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 1000), (3, 10, 100)])
def test_every_type_and_shape_is_tested(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    numbers = torch.full(shape, 100.0)  # a thousand of them overflow in 16 bits
    assert finite_rows([numbers.to(dtype)], 3).tolist() == [True] * 3
    last = numbers.clone()
    last.view(3, -1)[1, -1] = float("nan")
    assert finite_rows([numbers, last.to(dtype)], 3).tolist() == [True, False, True]
    if dtype.is_complex:
        assert finite_rows([torch.complex(numbers, last)], 3).tolist() == [True, False, True]
        assert finite_rows([torch.complex(numbers, last).conj()], 3).tolist() == [True, False, True]
    rows = [row.to(dtype) for row in last.view(3, -1)]
    assert finite_rows([rows], 3).tolist() == [True, False, True]


def test_integers_and_empty_tensors_are_finite() -> None:
    assert finite_rows([torch.tensor([[1], [2]])], 2).tolist() == [True, True]
    assert finite_rows([torch.tensor([True, False])], 2).tolist() == [True, True]
    assert finite_rows([], 2).tolist() == [True, True]
    assert finite_rows([torch.zeros(2, 0), [torch.zeros(0), torch.ones(3)]], 2).tolist() == [True, True]
    assert finite_rows([torch.zeros(0, 4), torch.zeros(0)], 0).tolist() == []


def test_the_first_key_that_is_not_finite_is_named_for_each_row() -> None:
    inf = float("inf")
    wire = {"a": torch.tensor([[1.0], [inf], [1.0]]), "n": torch.ones(3, 1).int(), "b": torch.tensor([1.0, inf, inf])}
    assert first_not_finite(wire, 3) == ["", "a", "b"]
    assert first_not_finite({"a": wire["a"][:1]}, 1) == [""]


def test_only_what_travelled_has_to_be_finite_in_a_reduced_message() -> None:
    inf = torch.tensor([float("inf")])
    check_reduced({"delta.weights": torch.ones(2), "scores": inf}, {"delta.weights"}, "Krum", 3)
    with pytest.raises(InputError, match=r"round 3: Mean of the messages has NaN or infinite values in c, although"):
        check_reduced({"delta.weights": torch.ones(2), "c": inf}, {"delta.weights", "c"}, "Mean", 3)


def model(value: float) -> Model:
    return Model(torch.ones(3), torch.tensor([value]))


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ({"model": model(1)}, {"model": model(float("nan"))}, "model.statistics"),
        ({"a": {"c": torch.ones(2)}}, {"a": {"c": torch.tensor([1.0, float("inf")])}}, "a.c"),
        ({"list": [torch.ones(1)]}, {"list": [torch.tensor([float("inf")])]}, "list.0"),
        ({}, {"new": model(float("inf"))}, "new.statistics"),
        ({"best": torch.tensor(float("inf"))}, {"best": torch.tensor(float("inf")), "n": 3}, None),
        ({"best": torch.tensor(float("inf"))}, {"best": torch.tensor(0.5)}, None),
        ({}, {"optimizer": {"limit": torch.tensor(float("inf"))}}, None),
        ({"count": 1}, {"count": 2, "tokens": torch.tensor([1, 2])}, None),
    ],
)
def test_a_server_that_was_finite_has_to_stay_so(before: Any, after: Any, path: str | None) -> None:
    if path is None:
        check_server_state(before, after, "FedAvg", 4)
        return
    with pytest.raises(InputError, match=rf"round 4: server_update of FedAvg made NaN .* in {path} of the server's"):
        check_server_state(before, after, "FedAvg", 4)
