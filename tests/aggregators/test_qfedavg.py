"""q-FedAvg where a client has nothing left to learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fedlit.aggregators import QFedAvg
from fedlit.client import Fitted
from fedlit.model_vectors import Model


class Learnt:
    """Two clients whose loss is 0, and whose fit changes nothing."""

    def loss(self, model: Model) -> Tensor:
        return torch.zeros(2, 1)

    def fit(self, model: Model) -> Fitted:
        ones = torch.ones(2, 1)
        return Fitted(model.expand(2), ones, ones, 0 * ones, compute_gain=lambda: 0.1 * ones)


@pytest.mark.parametrize("q", [0.0, 0.5, 1.0, 2.0])
def test_a_loss_of_0_sends_finite_numbers(q: float) -> None:
    client: Any = Learnt()
    message, _ = QFedAvg(q).local_update(client, {"model": Model(torch.ones(3), torch.ones(1))}, {})
    assert bool(message["h"].isfinite().all() and (message["h"] > 0).all() and (message["delta"].weights == 0).all())
