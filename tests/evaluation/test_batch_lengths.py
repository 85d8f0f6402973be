"""Losses are weighted by the samples of a batch, whatever the batch is."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fedlit.data import LoadedSamples
from fedlit.evaluation.measure import Measure
from fedlit.round import Round
from fedlit.training import Job, JobData
from fedlit.training.lightning import LightningTrainer
from fedlit.user_module.module_snapshot import counters

VALUES = [1.0, 2.0, 3.0, 10.0, 20.0]  # in batches of 3 and 2


class Graph:
    """A batch that is neither a tensor nor a nest of tensors."""

    def __init__(self, values: Tensor):
        self.values = values

    def to(self, device: Any, **options: Any) -> Graph:
        return self


BATCHES: dict[str, Any] = {
    "object": Graph,
    "time first": lambda values: values.expand(7, -1),
    "edges first": lambda values: (torch.zeros(2, 9), values[None]),
}


class Net(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(1, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        values = batch.values if isinstance(batch, Graph) else batch[-1]
        return values.mean() + 0 * self.net.weight.sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


@pytest.mark.parametrize("kind", BATCHES)
def test_the_loss_is_the_mean_over_the_samples(kind: str) -> None:
    samples = LoadedSamples(VALUES, lambda items: BATCHES[kind](torch.tensor(items)))  # type: ignore[arg-type]
    samples.target = None
    worker = LightningTrainer(accelerator="cpu").worker(Net(), JobData(samples, samples), Measure())
    index = np.arange(5)
    job = Job(0, Round(1, 0, [0], 1), 3, 1, index, index, index)
    host = worker.host
    client = worker.client([job], counters(host.module), [{}])
    loss = client.loss(host.layout.read(host.module), "validation")
    assert loss.item() == pytest.approx(np.mean(VALUES))
