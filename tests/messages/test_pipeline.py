import pytest
import torch

from fedlit.messages.pipeline import finite_rows


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_row_is_finite_if_each_number_is_even_where_their_sum_overflows(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    rows = torch.tensor(
        [[largest, largest], [1.0, float("nan")], [float("inf"), -float("inf")], [0.0, 1.0]], dtype=dtype
    )
    assert finite_rows([rows], 4).tolist() == [True, False, False, True]
    assert finite_rows([torch.zeros(4, 3), rows[:, :, None]], 4).tolist() == [True, False, False, True]
    assert finite_rows([rows[:1]], 1).tolist() == [True]


def test_integers_are_finite() -> None:
    assert finite_rows([torch.tensor([[1], [2]])], 2).tolist() == [True, True]
    assert finite_rows([], 2).tolist() == [True, True]
