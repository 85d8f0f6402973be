"""A trace holds for any number of rows, or there is none."""

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
def test_it_holds_for_any_number_of_rows(n: int) -> None:
    torch.manual_seed(0)
    trace = traced_rows(gradient, [torch.randn(3, 11), torch.randn(3, 5, 11)])
    w, x = torch.randn(n, 11), torch.randn(n, 5, 11)
    for found, wanted in zip(trace(n, w, x), gradient(w, x), strict=True):
        assert torch.equal(found, wanted)


def test_what_is_written_in_place_is_written_into_the_inputs() -> None:
    trace = traced_rows(lambda t: [t.add_(1).view(len(t), 2, 1)], [torch.zeros(4, 2)])
    t = torch.zeros(3, 2)
    (found,) = trace(3, t)
    assert torch.equal(t, torch.ones(3, 2)) and found.shape == (3, 2, 1)


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
def test_what_is_another_thing_for_another_number_of_rows_is_not_traced(function: object) -> None:
    with pytest.raises(Untraceable):
        traced_rows(function, [torch.randn(4, 2)])  # type: ignore[arg-type]
