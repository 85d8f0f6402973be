"""Modules whose fits follow a validation metric or have hooks of a validation pass, and those that do not."""

from __future__ import annotations

from typing import Any, ClassVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau

WIDTH = 5


class Net(pl.LightningModule):
    """Regression whose validation loss is logged as val_mse."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(WIDTH, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = F.mse_loss(self.net(batch[0]), batch[1])
        self.log("train_mse", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_mse", F.mse_loss(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.5)


class Plateau(Net):
    options: ClassVar[dict[str, Any]] = {}

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.3)
        scheduler = ReduceLROnPlateau(optimizer, patience=0, factor=0.1, threshold=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "val_mse"} | self.options}


class PlateauByStep(Plateau):
    options: ClassVar[dict[str, Any]] = {"interval": "step", "frequency": 3}


class MonitorOutside(Net):
    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.3)
        scheduler = ReduceLROnPlateau(optimizer, patience=0, factor=0.1, threshold=0.5)
        return {"optimizer": optimizer, "lr_scheduler": scheduler, "monitor": "val_mse"}


class NeedsATrainer(Plateau):
    """configure_optimizers cannot run outside of a fit."""

    def configure_optimizers(self) -> Any:
        assert self.trainer.estimated_stepping_batches > 0
        return super().configure_optimizers()


class LoggedByAHook(Plateau):
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.loss = F.mse_loss(self.net(batch[0]), batch[1])

    def on_validation_epoch_end(self) -> None:
        self.log("val_mse", self.loss)


class Early(Net):
    def configure_callbacks(self) -> Any:
        return [EarlyStopping("val_mse", patience=1, min_delta=0.3)]


class Best(Net):
    """Ends with the weights of the best validation loss."""

    def configure_callbacks(self) -> Any:
        return [ModelCheckpoint(monitor="val_mse", save_top_k=1, filename="{epoch}-{val_mse:.3f}")]

    def on_fit_end(self) -> None:
        path = self.trainer.checkpoint_callback.best_model_path  # type: ignore[union-attr]
        self.load_state_dict(torch.load(path, weights_only=False)["state_dict"])


class StopsByHand(Net):
    def on_validation_epoch_end(self) -> None:
        if self.current_epoch == 1:
            self.trainer.should_stop = True


class StepsByHand(Net):
    def configure_optimizers(self) -> Any:
        self.lowers = ReduceLROnPlateau(
            optimizer := torch.optim.SGD(self.parameters(), lr=0.3), patience=0, threshold=0.5
        )
        return optimizer

    def on_train_epoch_end(self) -> None:
        self.lowers.step(self.trainer.callback_metrics["val_mse"])


class LowersTheRate(Net):
    def on_validation_end(self) -> None:
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] *= 0.5


class WeighsByLoader(Net):
    """Its weight is that of the validation samples, of a pass that nothing else asks for."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loaders: Any = self.trainer.val_dataloaders
        return super().training_step(batch, batch_idx) * (len(loaders.dataset) + len(loaders)) / 20

    def on_train_epoch_end(self) -> None:
        (batches,) = self.trainer.num_val_batches
        assert batches == len(list(self.trainer.val_dataloaders)) > 0  # type: ignore[call-overload]


class WithIndex(Plateau):
    """Requires dataloader_idx."""

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        assert dataloader_idx == 0
        super().validation_step(batch, batch_idx)

    def on_validation_batch_end(self, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int) -> None:
        assert dataloader_idx == 0
