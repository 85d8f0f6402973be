"""What a fit counts: the numbers, and that none of them is kept step by step."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from torch import nn

from fedlit.data import TensorSamples
from fedlit.round import Round
from fedlit.training import Job
from fedlit.training.fit_tally import FitTally
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from fedlit.user_module.module_snapshot import counters
from tests.training.forty.case import CLASSES, WIDTH, Plain
from tests.training.test_forty_modules import worker


def test_rates_and_losses_are_those_of_all_steps():
    body, head = (nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (2, 3))
    optimizer = torch.optim.SGD([{"params": [body], "lr": 0.1}, {"params": [head], "lr": 0.1}])
    tally = FitTally({"body": body, "head": head})
    assert tally.steps == 0 and tally.rate_sum.tolist() == [0] and np.isnan(tally.loss)
    for epoch, (losses, head_rate) in enumerate([([3.0, 4.0], 0.1), ([], 0.1), ([8.0], 0.7), ([5.0], 0.1)]):
        tally.begin_epoch()
        optimizer.param_groups[1]["lr"] = head_rate  # apart in the third epoch alone
        for loss in losses:
            tally.add_loss(torch.tensor(loss))
            tally.add_step([optimizer])
        assert tally.epoch_loss == pytest.approx([3.5, np.nan, 8, 5][epoch], nan_ok=True)
    assert tally.steps == 4 and tally.loss == 5
    np.testing.assert_allclose(tally.rate_sum, [0.4, 0.4, 1.0, 1.0, 1.0])


def test_a_loss_of_several_numbers_counts_with_its_mean():
    tally = FitTally({"weight": nn.Parameter(torch.zeros(1))})
    tally.begin_epoch()
    for loss in ([1.0, 3.0], [[6.0]]):
        tally.add_loss(torch.tensor(loss, requires_grad=True))
    assert tally.loss == 4


FOUND: list[int] = []


class Counts(Plain):
    """How many tensors there are in each step; its groups have rates of their own."""

    def training_step(self, batch, batch_idx):
        FOUND.append(sum(type(one) is torch.Tensor for one in gc.get_objects()))
        return super().training_step(batch, batch_idx)

    def configure_optimizers(self):
        body, *head = self.parameters()
        return torch.optim.SGD([{"params": [body]}, {"params": head, "lr": 0.2}], lr=0.1)


@pytest.mark.parametrize("kind, options", [(LightningTrainer, {}), (VectorizedTrainer, {"stack": "never"})])
def test_nothing_is_kept_of_a_step(kind, options):
    made = worker(kind, Counts(), TensorSamples(torch.randn(40, WIDTH), torch.arange(40) % CLASSES), **options)
    job = Job(0, Round(1, 0, [0], 1), 4, 1, np.arange(40))
    client = made.client([job], counters(made.host.module), [{}])
    FOUND.clear()
    client.fit(made.host.layout.read(made.host.module))
    assert len(FOUND) == 10 and len(set(FOUND[2:])) == 1, FOUND
