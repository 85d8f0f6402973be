"""Modules and data as users write them, with what a fit makes or reads on the device."""

from __future__ import annotations

import copy
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, TensorDataset

CLASSES = 3


class Vectors(pl.LightningDataModule):
    """Vectors of six numbers, in three classes; 24 training and 12 test samples."""

    scale = 2.0

    def setup(self, stage: str) -> None:
        x = torch.randn(36, 6, generator=torch.Generator().manual_seed(0))
        self.samples = x, x[:, :CLASSES].argmax(1)

    def train_dataloader(self) -> Any:
        return DataLoader(TensorDataset(*(t[:24] for t in self.samples)), 4, shuffle=True)

    def test_dataloader(self) -> Any:
        return DataLoader(TensorDataset(*(t[24:] for t in self.samples)), 4)


class Made(pl.LightningModule):
    """Lazy layers, numbers without dimensions, a scale that `setup` reads from the data module, and a schedule over the
    fit's steps."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.LazyLinear(5), nn.Tanh(), nn.LazyLinear(CLASSES))
        self.temperature = nn.Parameter(torch.tensor(1.0))
        self.register_buffer("mean_loss", torch.tensor(1.0))
        self.register_buffer("steps", torch.tensor(0))

    def setup(self, stage: str) -> None:
        self.scale = self.trainer.datamodule.scale  # type: ignore[attr-defined]

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x / self.scale) * self.temperature

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss)
        self.steps += 1
        self.mean_loss.mul_(0.9).add_(0.1 * loss.detach())
        return loss / (1 + self.mean_loss)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adam(self.parameters(), 0.01)
        steps = int(self.trainer.estimated_stepping_batches)
        return [optimizer], [{"scheduler": OneCycleLR(optimizer, 0.02, total_steps=steps), "interval": "step"}]


class Taught(Made):
    """A teacher, made in `setup`."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, CLASSES))

    def setup(self, stage: str) -> None:
        super().setup(stage)
        self.teacher = copy.deepcopy(self.net).requires_grad_(False)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        return loss + nn.functional.mse_loss(self.net(batch[0]), self.teacher(batch[0]))


class Validated(Made):
    """A scheduler follows a metric of the validation passes in each fit, which draw random numbers."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        noise = 0.1 * torch.randn_like(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(self(batch[0] + noise), batch[1]))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)
        scheduler = ReduceLROnPlateau(optimizer, patience=0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_loss"}}
