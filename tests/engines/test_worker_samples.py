"""A worker process trains on the samples of the main process, or not at all."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from fedlit.data import LoadedSamples
from fedlit.engines.worker_process import WorkerSetup
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.training import JobData
from fedlit.training.lightning import LightningTrainer


class Shifted(Dataset[Any]):
    shift = 0.0

    def __len__(self) -> int:
        return 20

    def __getitem__(self, i: int) -> Any:
        return torch.tensor([i + self.shift]), i % 2


class Drawn(Shifted):
    def __getitem__(self, i: int) -> Any:
        return torch.rand(1), i % 2


class Net(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(1, 2)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


@pytest.mark.parametrize("part", ["training", "test"])
def test_samples_that_differ_in_a_worker_are_refused(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shifted, drawn = LoadedSamples(Shifted()), LoadedSamples(Drawn())
    data = JobData(shifted, drawn) if part == "training" else JobData(drawn, shifted)
    setup = WorkerSetup.of(LightningTrainer(accelerator="cpu"), Net(), data, Measure(), None)
    assert setup.worker(data, None).host.data.train is data.train
    monkeypatch.setattr(Shifted, "shift", 1.0)  # as where an attribute of the class was set before the data were built
    with pytest.raises(InputError, match=f"a worker process reads other {part} samples than the main process"):
        setup.worker(data, None)
