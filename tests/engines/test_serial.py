"""engine=serial: who failed is said, and may be left out."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fedlit.data import TensorSamples
from fedlit.engines.failures import ClientFailed
from fedlit.errors import InputError
from tests.training.rounds import Federated, cut, delta, facts, numbers


class Fragile(pl.LightningModule):
    """Raises at a sample of 77, and gets NaN from one of 88."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def training_step(self, batch, batch_idx):
        x, y = batch
        if (x == 77).any():
            raise ZeroDivisionError("a sample this module cannot stand")
        scale = float("nan") if (x == 88).any() else 1.0
        return F.cross_entropy(self.layer(x), y) * scale

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def federated(bad: float, **options) -> Federated:
    x, y = numbers(24)
    x[9] = bad  # of client 1
    torch.manual_seed(0)
    return Federated(Fragile(), TensorSamples(x, y), cut(8, 8, 8), **options)


def test_an_exception_carries_client_and_round():
    with pytest.raises(ClientFailed, match=r"client 1, round 3: ZeroDivisionError: a sample this module") as caught:
        federated(77).round(number=3)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("bad", [77, 88])
def test_drop_leaves_the_client_out_and_no_other_notices(bad):
    back = federated(bad, on_failure="drop").round()
    well = federated(0).round()
    assert [one.clients for one in back] == [[0], [], [2]]
    assert [len(one.failures) for one in back] == [0, 1, 0]
    assert "client 1" in back[1].failures[0]
    assert list(facts(back)) == [0, 2]
    for row in (0, 2):
        assert torch.equal(delta(back[row]), delta(well[row]))
    assert back[1].examples.shape == (0, 1)


def test_nan_is_said_with_the_clients_number():
    with pytest.raises(InputError, match=r"client 1.*NaN.*on_failure=drop"):
        federated(88).round()


def test_results_come_one_after_the_other():
    """Memory: a client's message is handed over before the next client trains."""
    run = federated(77)
    seen = []
    with pytest.raises(ClientFailed):
        for one in run.stream():
            seen += one.clients
    assert seen == [0]
