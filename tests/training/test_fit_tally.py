"""The counts of a fit, and that no tensor of a step is kept."""

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
from tests.training.module_kinds.case import CLASSES, WIDTH, Plain
from tests.training.test_module_kinds import worker


def test_rates_and_losses_are_those_of_all_steps():
    body, head = (nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in (2, 3))
    body.grad, head.grad = torch.zeros_like(body), torch.zeros_like(head)
    optimizer = torch.optim.SGD([{"params": [body], "lr": 0.1}, {"params": [head], "lr": 0.1}])
    tally = FitTally({"body": body, "head": head})
    assert tally.steps == 0 and tally.rate_sum.tolist() == [0] and np.isnan(tally.loss)
    for epoch, (losses, head_rate) in enumerate([([3.0, 4.0], 0.1), ([], 0.1), ([8.0], 0.7), ([5.0], 0.1)]):
        tally.begin_epoch()
        optimizer.param_groups[1]["lr"] = head_rate  # it differs from the body's in the third epoch only
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


TENSOR_COUNTS: list[int] = []


class Counts(Plain):
    """Counts the live tensors in each step; its parameter groups have different learning rates."""

    def training_step(self, batch, batch_idx):
        TENSOR_COUNTS.append(sum(type(o) is torch.Tensor for o in gc.get_objects()))
        return super().training_step(batch, batch_idx)

    def configure_optimizers(self):
        body, *head = self.parameters()
        return torch.optim.SGD([{"params": [body]}, {"params": head, "lr": 0.2}], lr=0.1)


@pytest.mark.parametrize("kind, options", [(LightningTrainer, {}), (VectorizedTrainer, {"stack": "never"})])
def test_a_fit_keeps_no_tensor_of_a_step(kind, options):
    fit_worker = worker(kind, Counts(), TensorSamples(torch.randn(40, WIDTH), torch.arange(40) % CLASSES), **options)
    job = Job(0, Round(1, 0, [0], 1), 4, 1, np.arange(40))
    client = fit_worker.client([job], counters(fit_worker.host.module), [{}])
    TENSOR_COUNTS.clear()
    client.fit(fit_worker.host.layout.read(fit_worker.host.module))
    assert len(TENSOR_COUNTS) == 10 and len(set(TENSOR_COUNTS[2:])) == 1, TENSOR_COUNTS
