"""Transforms in sequence, and on batches of several types."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch

from fedlit.data import chain, on_inputs
from fedlit.errors import InputError


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


@pytest.mark.parametrize(
    "batch", [(torch.ones(2), torch.ones(2)), [torch.ones(2), torch.ones(2)], Pair(torch.ones(2), torch.ones(2))]
)
def test_on_inputs_changes_the_first_tensor_and_keeps_the_container(batch: object) -> None:
    out = on_inputs(batch, lambda x: x * 2)
    assert type(out) is type(batch) and out[0].tolist() == [2, 2] and out[1].tolist() == [1, 1]
    assert batch[0].tolist() == [1, 1]


def test_on_inputs_accepts_a_tensor_and_refuses_a_dict() -> None:
    assert on_inputs(torch.ones(1), lambda x: x + 1).item() == 2
    with pytest.raises(InputError, match="a batch of this data set is a dict; give such batches, or"):
        on_inputs({"x": torch.ones(1)}, lambda x: x)


def test_a_chain_applies_transforms_in_order_without_none() -> None:
    def double(batch, index, client, split, key):
        return batch * 2

    def add(batch, index, client, split, key):
        return batch + key

    assert chain(None, None) is None and chain(None, double) is double
    both = chain(double, None, add)
    assert both(torch.ones(1), None, None, "train", torch.tensor([5])).item() == 7
