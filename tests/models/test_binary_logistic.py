"""model=binary_logistic: one output, and the binary cross entropy of its sigmoid."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fedlit.errors import InputError
from fedlit.models import BinaryLogistic


def test_loss_and_gradient_are_those_of_one_output(double_precision: None) -> None:
    model = BinaryLogistic((5,), 2)
    x, y = torch.randn(7, 5), torch.tensor([0, 1, 1, 0, 1, 0, 0])
    single = nn.Linear(5, 1)
    single.load_state_dict(model.linear.state_dict())
    expected = nn.BCELoss()(torch.sigmoid(single(x)), y[:, None].double())
    loss = model.training_step((x, y), 0)
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(model.linear.weight.grad, single.weight.grad, rtol=0, atol=1e-12)
    assert torch.equal(model(x).argmax(1), (torch.sigmoid(single(x))[:, 0] > 0.5).long())


def test_other_numbers_of_classes_are_refused() -> None:
    with pytest.raises(InputError, match="model=binary_logistic needs 2 classes, but there are 3; write model=logist"):
        BinaryLogistic((5,), 3)
