"""The cost of a Trainer for each client: a round in which each client is one fit of a barebones Lightning Trainer.

Batches are prepared; nothing is logged, evaluated, seeded or saved. It is of no use as a framework; the time that
`trainer=lightning` takes beyond it is fedlit's own.

Run as a contender: `python -m benchmarks.trainer_by_hand FILE THREADS`.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.bare import Bare
from benchmarks.contender_process import serve
from benchmarks.memory import footprint
from benchmarks.workloads import Task, load


class Module(pl.LightningModule):
    def __init__(self, network: nn.Module, task: Task):
        super().__init__()
        self.network, self.task = network, task
        self.total, self.steps = torch.zeros(()), 0

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        loss = F.cross_entropy(self.network(x), y)
        self.total += loss.detach()
        self.steps += 1
        return loss

    def configure_optimizers(self) -> Any:
        return self.task.optimizer()(self.parameters())


@dataclass
class Batches:
    """Prepared batches of each epoch. A class, because Lightning reads a list as several loaders."""

    module: Module
    epochs: Sequence[Sequence[tuple[Tensor, Tensor]]]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.epochs[self.module.current_epoch])

    def __len__(self) -> int:
        return len(self.epochs[0])


class TrainerByHand(Bare):
    def train(self, number: int, client: int) -> tuple[float, int]:
        task, w = self.task, self.task.workload
        module = Module(self.network, task)
        orders = [self.order(number, client, epoch).split(w.batch_size) for epoch in range(w.epochs)]
        batches = Batches(module, [[(task.x[index], task.y[index]) for index in order] for order in orders])
        pl.Trainer(max_epochs=w.epochs, accelerator="cpu", barebones=True).fit(module, batches)
        return float(module.total) / module.steps, module.steps


def main(file: str, threads: str) -> None:
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    by_hand = TrainerByHand(load(file))
    serve(lambda number: by_hand.round(number) | footprint(number))


if __name__ == "__main__":
    main(*sys.argv[1:])
