"""The traits that one step of a module shows."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from fedlit.user_module.probe import StepTraits, probe
from tests.training.rounds import numbers


class Net(pl.LightningModule):
    def __init__(self, extra: nn.Module | None = None):
        super().__init__()
        self.head = nn.Linear(6, 3)
        self.body = nn.Linear(6, 6)
        self.extra = extra or nn.Identity()

    def training_step(self, batch):
        return F.cross_entropy(self.head(self.extra(self.body(batch[0]))), batch[1])


class Poisson(nn.Module):
    def forward(self, x):
        return torch.poisson(x.exp())


class Recurrent(nn.LSTM):
    def __init__(self, dropout: float = 0.0):
        super().__init__(6, 6, 2, dropout=dropout)

    def forward(self, x):
        return super().forward(x)[0]


def test_the_last_layer_is_the_one_that_runs_last():
    assert probe(Net(), numbers(4)) == StepTraits("head", uses_keyed_rng=False, uses_global_rng=False)


def test_keyed_draws_and_draws_from_global_generators_are_distinguished():
    assert probe(Net(nn.Dropout(0.1)), numbers(4)) == StepTraits("head", uses_keyed_rng=True, uses_global_rng=False)
    assert probe(Net(nn.RReLU()), numbers(4)) == StepTraits("head", uses_keyed_rng=True, uses_global_rng=False)
    assert probe(Net(Recurrent(dropout=0.2)), numbers(4)) == StepTraits(
        "head", uses_keyed_rng=True, uses_global_rng=False
    )
    assert probe(Net(Recurrent()), numbers(4)) == StepTraits("head", uses_keyed_rng=False, uses_global_rng=False)
    assert probe(Net(Poisson()), numbers(4)) == StepTraits("head", uses_keyed_rng=False, uses_global_rng=True)


def test_draws_by_numpy_are_detected():
    class Noisy(Net):
        def training_step(self, batch):
            return super().training_step(batch) * np.random.random()

    assert probe(Noisy(), numbers(4)).uses_global_rng


def test_a_step_that_cannot_run_alone_gets_the_cautious_answer():
    class Dependent(Net):
        def training_step(self, batch):
            return self.trainer.fit_loop

    assert probe(Dependent(), numbers(4)) == StepTraits(None, True, True)


def test_the_module_and_the_generators_are_left_as_they_were():
    module = Net(nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.5)))
    before = torch.get_rng_state()
    probe(module, numbers(4))
    assert torch.equal(torch.get_rng_state(), before)
    assert int(module.extra[0].num_batches_tracked) == 0
    assert "log" not in vars(module)
