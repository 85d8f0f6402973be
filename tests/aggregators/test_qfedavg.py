"""q-FedAvg where a client has nothing left to learn, and where no client is asked."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from fedlit.aggregators import QFedAvg
from fedlit.client import Fitted
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound


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


def test_a_round_without_clients_keeps_the_model_and_is_no_refusal_of_the_schedule() -> None:
    server = {"model": Model(torch.ones(3), torch.ones(1))}
    zeros = {"delta": Model(torch.zeros(3), torch.zeros(1)), "share": torch.zeros(1), "h": torch.zeros(1)}
    round = ServerRound(number=2, seed=0, cohort=[], clients=3, scheduled_server_lr=0.5)
    assert QFedAvg().server_update(server, zeros, round) is server
    assert round.server_lr_was_read
