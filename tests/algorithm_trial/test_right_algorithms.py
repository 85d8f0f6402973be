"""Right algorithms pass their trial, to its end, under both trainers and with modules of all kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlit.aggregators import (
    APFL,
    Aggregator,
    Centralized,
    FedAMP,
    FedAvg,
    FedBABU,
    FedPer,
    FedProx,
    Local,
    Moon,
    PerFedAvg,
    QFedAvg,
    Scaffold,
)
from fedlit.errors import InputError
from tests.aggregators.federations import Net
from tests.aggregators.written import ByLoss, WholeGradients
from tests.algorithm_trial.right_algorithms import RIGHT
from tests.algorithm_trial.trials import assert_tried_to_the_end, federation, log_all, tried
from tests.slow import some_slow


@pytest.mark.parametrize("trainer", some_slow(["lightning", "vectorized"], ["vectorized"]))
@pytest.mark.parametrize("algorithm", RIGHT, ids=lambda algorithm: algorithm.__name__)
def test_unusual_algorithms_pass(
    algorithm: type[Aggregator], trainer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log_all(caplog)
    tried(algorithm(), federation(tmp_path, trainer))
    assert_tried_to_the_end(caplog)


class Adam(Net):
    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=0.01)


class Scheduled(Net):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)]


class TwoRates(Net):
    def configure_optimizers(self) -> Any:
        groups = [{"params": self.body.parameters(), "lr": 0.05}, {"params": self.head.parameters(), "lr": 0.1}]
        return torch.optim.SGD(groups, weight_decay=0.01)


class Frozen(Net):
    def __init__(self, *args: Any):
        super().__init__(*args)
        self.body.requires_grad_(False)


class Counting(Net):
    """Changes an attribute in its step, so that it cannot be stacked."""

    steps = 0

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.steps = self.steps + 1
        return super().training_step(batch, batch_idx)


MODULES = {
    "plain": lambda: Net(),
    "norm and dropout": lambda: Net(0.4, True),
    "adam": lambda: Adam(0.0, True),
    "scheduled": lambda: Scheduled(),
    "two rates": lambda: TwoRates(),
    "frozen": lambda: Frozen(0.0, True),
    "counting": lambda: Counting(),
}
ALGORITHMS = {
    "FedAvg": lambda: FedAvg(),
    "Adam on the server": lambda: FedAvg(server_optimizer=lambda weights: torch.optim.Adam(weights, lr=0.01)),
    "FedProx": lambda: FedProx(0.1),
    "FedPer": lambda: FedPer(),
    "Local": lambda: Local(),
    "Centralized": lambda: Centralized(),
    "Scaffold": lambda: Scaffold(),
    "Moon": lambda: Moon(),
    "APFL": lambda: APFL(),
    "FedBABU": lambda: FedBABU(),
    "QFedAvg": lambda: QFedAvg(),
    "FedAMP": lambda: FedAMP(),
    "PerFedAvg": lambda: PerFedAvg(),
    "WholeGradients": lambda: WholeGradients(),
    "ByLoss": lambda: ByLoss(),
}


@pytest.mark.parametrize("trainer", some_slow(["lightning", "vectorized"], ["vectorized"]))
@pytest.mark.parametrize("module", some_slow(MODULES, ["norm and dropout", "two rates", "adam"]))
def test_algorithms_of_papers_pass(module: str, trainer: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log_all(caplog)
    run = federation(tmp_path, trainer, MODULES[module]())
    for name, algorithm in ALGORITHMS.items():
        if name in ("QFedAvg", "Scaffold") and module == "adam":
            with pytest.raises(InputError, match=r"Fitted\.gain.* not for Adam"):
                tried(algorithm(), run)
            continue
        tried(algorithm(), run)
        assert_tried_to_the_end(caplog)


def test_a_server_with_data_trains_in_the_trial(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Tuned(FedAvg):
        fits = 0

        def server_update(self, server, reduced, round):
            state = super().server_update(server, reduced, round)
            return {"model": round.server_client.fit(state["model"]).model}

    log_all(caplog)
    for trainer in ("lightning", "vectorized"):
        tried(Tuned(), federation(tmp_path, trainer), server_samples=5)
    assert_tried_to_the_end(caplog)
