"""What comes from the trial's small data, from the module or from the samples is no mistake of the algorithm."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedlit.aggregators import Aggregator, FedAvg, FedProx
from fedlit.errors import InputError
from tests.aggregators.federations import Net
from tests.algorithm_trial.small_algorithm import Up, fedavg
from tests.algorithm_trial.trials import federation, tried

RNG = np.random.default_rng()


class DrawsUnseeded(Net):
    """Its losses are other ones each time, as those of a data set with a generator of its own."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * float(RNG.random())


class DrawsFromTheSystem(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return super().training_step(batch, batch_idx) * (1 + os.urandom(1)[0])


class Needs50(Up):
    """Refuses the trial's clients by itself."""

    def local_update(self, client, received, state):
        if int(client.examples.min()) < 50:
            raise InputError("Needs50 is for clients of 50 samples or more")
        return fedavg(client, received), state


class NeedsTwoClasses(Up):
    def server_update(self, server, reduced, round):
        raise ZeroDivisionError("one class only")


class NaNMessage(Up):
    def local_update(self, client, received, state):
        return {"delta": fedavg(client, received)["delta"] * float("nan")}, state


class NaNForAll(Up):
    """The mean of finite messages is not finite: the run says so in the first round."""

    def local_update(self, client, received, state):
        return {"delta": fedavg(client, received)["delta"], "h": torch.full_like(client.examples, 1e308)}, state


class SeedsItself(Up):
    def setup(self, layout, clients):
        torch.manual_seed(0)
        self.table = torch.randn(3)


@pytest.mark.parametrize("trainer", ["lightning", "vectorized"])
@pytest.mark.parametrize("module", [DrawsUnseeded, DrawsFromTheSystem])
@pytest.mark.parametrize("algorithm", [lambda: FedAvg(), lambda: FedProx(0.1)], ids=["FedAvg", "FedProx"])
def test_a_module_that_does_not_repeat_is_no_mistake_of_the_algorithm(
    algorithm: Any, module: Any, trainer: str, tmp_path: Path
) -> None:
    tried(algorithm(), federation(tmp_path, trainer, module()))


@pytest.mark.parametrize("trainer", ["lightning", "vectorized"])
@pytest.mark.parametrize("algorithm", [Needs50, NeedsTwoClasses, NaNMessage, NaNForAll, SeedsItself])
def test_the_first_round_decides(algorithm: type[Aggregator], trainer: str, tmp_path: Path) -> None:
    tried(algorithm(), federation(tmp_path, trainer))
