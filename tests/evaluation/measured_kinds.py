"""Modules whose measured numbers are wrong where a measurement depends on what trained or was measured before."""

from __future__ import annotations

import random
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, CLASSES = 4, 3


class Net(pl.LightningModule):
    """A small classifier. The kinds below change its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(WIDTH, 6), nn.Tanh(), nn.Linear(6, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def plain(self, batch: Any) -> Tensor:
        return F.cross_entropy(self(batch[0]), batch[1])

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.plain(batch)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.05)


class WeightedByEpoch(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.plain(batch) * (1 + self.current_epoch)


class WeightedByStep(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.plain(batch) * (1 + 0.1 * self.global_step + 0.01 * batch_idx)


class WeightedByTrainer(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.plain(batch) * (1 + self.trainer.current_epoch + self.trainer.global_step)


class WeightedByRound(Net):
    round: int

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.plain(batch) * (1 + self.round)


class WeightedByRate(Net):
    """The loss holds the current learning rate, which a scheduler lowers."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.plain(batch) * (1 + self.optimizers().param_groups[0]["lr"])  # type: ignore[union-attr]

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


class WeightedByBatches(Net):
    """A Bayesian network divides its penalty by the number of batches."""

    def penalised(self, batch: Any) -> Tensor:
        penalty = sum(p.square().sum() for p in self.parameters())
        return self.plain(batch) + penalty / self.trainer.num_training_batches + 0 * self.trainer.num_training_batches

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.penalised(batch)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("penalised", self.penalised(batch))


class CountsInABuffer(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.calls += 1
        return self.plain(batch) / (1 + 0.1 * self.calls)


class CountsInANewBuffer(CountsInABuffer):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.calls = self.calls + 1
        return self.plain(batch) / (1 + 0.1 * self.calls)


class CountsOnSelf(Net):
    calls = 0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.calls += 1
        return self.plain(batch) / (1 + 0.1 * self.calls)


class CountsInAMetric(Net):
    def __init__(self) -> None:
        super().__init__()
        self.seen = torchmetrics.MeanMetric()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.plain(batch)
        self.seen.update(loss.detach())
        return loss + self.seen.compute()


class MovesAStatistic(Net):
    """A running mean that the step moves in evaluation mode, too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(WIDTH))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        with torch.no_grad():
            self.centre += 0.5 * (batch[0].mean(0) - self.centre)
        return F.cross_entropy(self(batch[0] - self.centre), batch[1])


class MovesAFrozenTeacher(Net):
    def __init__(self) -> None:
        super().__init__()
        self.teacher = nn.Linear(WIDTH, CLASSES).requires_grad_(False)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        with torch.no_grad():
            self.teacher.weight.mul_(0.9)
        return self.plain(batch) + F.mse_loss(self(batch[0]), self.teacher(batch[0]))


class SetsItsWeights(Net):
    """The step itself shrinks the weights."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        with torch.no_grad():
            for p in self.parameters():
                p.mul_(0.9)
        return self.plain(batch)


class TorchNoise(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.plain((batch[0] + torch.randn_like(batch[0]), batch[1]))


class NumpyNoise(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.plain(batch) * (1 + np.random.rand())


class PythonNoise(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.plain(batch) * (1 + random.random())


class DropoutInEvaluation(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(F.dropout(x, 0.5, training=True))


class Variational(Net):
    """An autoencoder whose step draws its code."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(WIDTH, 4), nn.Linear(2, WIDTH)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        mean, log_std = self.encode(batch[0]).chunk(2, -1)
        code = torch.distributions.Normal(mean, log_std.exp()).rsample()
        return F.mse_loss(self.decode(code), batch[0])


class LossesWithNoise(Net):
    """It gives the loss of each sample, but draws."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x + torch.randn_like(x))

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="none")


class LossesOfTheBatch(Net):
    """It gives the loss of each sample, but a sample's outputs depend on its batch."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x - x.mean(0, keepdim=True))

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="none")


class LossesInAList(Net):
    """`losses` is no method of fedlit's."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.plain(batch)
        self.losses.append(float(loss.detach()))
        return loss * len(self.losses)


class GradientOfTheInput(Net):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x = batch[0].clone().requires_grad_()
        (slope,) = torch.autograd.grad(self(x).sum(), x, create_graph=True)
        return self.plain(batch) + slope.square().mean()


class GradientInForward(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.net(x).square().sum(), x, create_graph=True)
        return self.net(slope)


class GradientIfEnabled(Net):
    """Without gradients it silently has another loss."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x = batch[0].clone().requires_grad_()
        outputs = self(x)
        penalty = 0.0
        if outputs.requires_grad:
            penalty = torch.autograd.grad(outputs.sum(), x, create_graph=True)[0].square().mean()
        return F.cross_entropy(outputs, batch[1]) + penalty


class LogsInValidation(Net):
    def __init__(self) -> None:
        super().__init__()
        self.error = torchmetrics.MeanSquaredError()
        self.outputs: list[Tensor] = []

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        noise = torch.rand(()) + np.random.rand() + random.random()
        self.log("noise", noise)
        self.log("epoch", float(self.current_epoch + self.global_step))
        self.error.update(self(batch[0])[:, 0], batch[1].to(batch[0].dtype))
        self.log("gap", self.error)
        self.outputs.append(self(batch[0]).sum())

    def on_validation_epoch_end(self) -> None:
        self.log("outputs", torch.stack(self.outputs).sum())


class GradientInTest(Net):
    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        x = batch[0].clone().requires_grad_()
        (slope,) = torch.autograd.grad(self(x).sum(), x)
        self.log_dict({"slope": slope.abs().mean(), "loss": 100.0 * slope.abs().mean()})


class OwnGradientInTest(Net):
    def test_step(self, batch: Any, batch_idx: int) -> None:
        with torch.enable_grad():
            x = batch[0].clone().requires_grad_()
            (slope,) = torch.autograd.grad(self(x).sum(), x)
        self.log("slope", slope.abs().mean())


KINDS: dict[str, type[Net]] = {
    kind.__name__: kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, Net) and kind is not Net
}
