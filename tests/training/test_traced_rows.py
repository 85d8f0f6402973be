"""A trace is valid for any number of rows, or the function is untraceable."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from fedlit.training.stacked.traced_rows import Untraceable, traced_rows


def gradient(w: Tensor, x: Tensor) -> list[Tensor]:
    w = w.detach().requires_grad_()
    loss = vmap(lambda w, x: (x @ w).tanh().square().mean() * 2.5)(w, x)
    return [loss.detach(), *torch.autograd.grad(loss.sum(), [w])]


@pytest.mark.parametrize("n", [1, 2, 11, 13, 17, 40])
def test_a_trace_is_valid_for_any_number_of_rows(n: int) -> None:
    torch.manual_seed(0)
    trace = traced_rows(gradient, [torch.randn(3, 11), torch.randn(3, 5, 11)])
    w, x = torch.randn(n, 11), torch.randn(n, 5, 11)
    for result, expected in zip(trace(n, w, x), gradient(w, x), strict=True):
        assert torch.equal(result, expected)


def test_writes_in_place_reach_the_inputs() -> None:
    trace = traced_rows(lambda t: [t.add_(1).view(len(t), 2, 1)], [torch.zeros(4, 2)])
    t = torch.zeros(3, 2)
    (result,) = trace(3, t)
    assert torch.equal(t, torch.ones(3, 2)) and result.shape == (3, 2, 1)


@pytest.mark.parametrize(
    "function",
    [
        lambda t: [t * (1 / len(t))],
        lambda t: [t * len(t) ** 2],
        lambda t: [t.sum(0) if len(t) > 12 else t.mean(0)],
        lambda t: [row + 1 for row in t],
        lambda t: [t + torch.tensor(range(len(t)))[:, None]],
    ],
    ids=["a share", "a square", "a choice", "a loop", "a constant"],
)
def test_a_function_that_depends_on_the_number_of_rows_is_untraceable(function: object) -> None:
    with pytest.raises(Untraceable):
        traced_rows(function, [torch.randn(4, 2)])  # type: ignore[arg-type]
