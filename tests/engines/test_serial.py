"""engine=serial: a client that fails is named, and can be left out of the round."""

from __future__ import annotations

import sys

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
    """Raises at a sample of 77; ends Python at a sample of 66; its loss is NaN at a sample of 88."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def training_step(self, batch, batch_idx):
        x, y = batch
        if (x == 77).any():
            raise ZeroDivisionError("this module refuses the sample")
        if (x == 66).any():
            sys.exit(0)
        scale = float("nan") if (x == 88).any() else 1.0
        return F.cross_entropy(self.layer(x), y) * scale

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def federated(bad_value: float, **options) -> Federated:
    x, y = numbers(24)
    x[9] = bad_value  # a sample of client 1
    torch.manual_seed(0)
    return Federated(Fragile(), TensorSamples(x, y), cut(8, 8, 8), **options)


def test_an_exception_carries_client_and_round():
    with pytest.raises(ClientFailed, match=r"client 1, round 3: ZeroDivisionError: this module refuses") as caught:
        federated(77).round(number=3)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_sys_exit_in_a_step_is_a_failure_of_the_client():
    with pytest.raises(ClientFailed, match=r"client 1, round 3: SystemExit: 0"):
        federated(66).round(number=3)


@pytest.mark.parametrize("bad_value", [66, 77, 88])
def test_drop_leaves_the_client_out_and_changes_no_other(bad_value):
    results = federated(bad_value, on_failure="drop").round()
    expected = federated(0).round()
    assert [returned.clients for returned in results] == [[0], [], [2]]
    assert [len(returned.failures) for returned in results] == [0, 1, 0]
    assert "client 1" in results[1].failures[0]
    assert list(facts(results)) == [0, 2]
    for client in (0, 2):
        assert torch.equal(delta(results[client]), delta(expected[client]))
    assert results[1].examples.shape == (0, 1)


def test_a_client_with_nan_is_named():
    with pytest.raises(InputError, match=r"client 1.*NaN.*on_failure=drop"):
        federated(88).round()


def test_results_are_streamed():
    """A client's message is yielded before the next client trains, so one message is in memory at a time."""
    run = federated(77)
    seen = []
    with pytest.raises(ClientFailed):
        for returned in run.stream():
            seen += returned.clients
    assert seen == [0]
