"""A kind of module: how to make it, its samples, and how trainer=vectorized trains it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional as F

from fedlit.data import LoadedSamples, Samples, TensorSamples

StackPlan = Literal["stacked", "one by one", "refused"]
N, WIDTH, CLASSES, LETTERS = 21, 6, 3, 8


@dataclass
class Case:
    plan: StackPlan
    make: Callable[[], pl.LightningModule]
    samples: Callable[[], Samples]
    because: str = ""  # a regular expression in the reason, where it is not stacked
    options: dict[str, Any] = field(default_factory=dict)  # of the trainer


class Plain(pl.LightningModule):
    """`net` gives (B, CLASSES); SGD with momentum."""

    def __init__(self, net: nn.Module | None = None):
        super().__init__()
        self.net = net or mlp()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def mlp(*between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 8), *(between or (nn.Tanh(),)), nn.Linear(8, CLASSES))


# --- samples: N of them, in double precision ------------------------------------------------------------------------
def _noise(*shape: int) -> Tensor:
    return torch.randn(N, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def classes() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, CLASSES, N))


def vectors() -> Samples:
    return TensorSamples(_noise(WIDTH), classes())


def signals() -> Samples:
    return TensorSamples(_noise(2, 6), classes())


def images() -> Samples:
    return TensorSamples(_noise(2, 4, 4), classes())


def text() -> Samples:
    """Letters, with 0 as padding; the samples of the trial before training have none."""
    codes = torch.from_numpy(np.random.default_rng(2).integers(1, LETTERS, (N, 5)))
    codes[13:, 3:] = 0
    return TensorSamples(codes, classes())


class Listed(torch.utils.data.Dataset[Any]):
    """A map-style Dataset of `sample_of(x, y, number)`."""

    def __init__(self, sample_of: Callable[[Tensor, int, int], Any]):
        self.sample_of, self.x, self.y = sample_of, _noise(WIDTH), classes().tolist()

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        return self.sample_of(self.x[i], self.y[i], i)


def loaded(sample_of: Callable[[Tensor, int, int], Any]) -> Callable[[], Samples]:
    return lambda: LoadedSamples(Listed(sample_of))


# --- cases ----------------------------------------------------------------------------------------------------------
def layer(make: Callable[[], nn.Module], samples: Callable[[], Samples] = vectors) -> Case:
    """A net in `Plain`, stacked."""
    return Case("stacked", lambda: Plain(make()), samples)


def looped(case: Case, because: str = "") -> Case:
    """The case, trained one by one."""
    return Case("one by one", case.make, case.samples, because, case.options)


def optimizer(make: Callable[[list[nn.Parameter]], Any], net: Callable[[], nn.Module] = mlp) -> Case:
    """`Plain` whose `configure_optimizers` returns `make(parameters)`, stacked."""

    class Optimized(Plain):
        def configure_optimizers(self) -> Any:
            return make(list(self.parameters()))

    return Case("stacked", lambda: Optimized(net()), vectors)


def step(
    of: Callable[..., Any], samples: Callable[[], Samples] = vectors, net: Callable[[], nn.Module] = mlp, **more: Any
) -> Case:
    """`Plain` with this training_step, stacked; `more` are attributes, made by functions."""

    class Stepping(Plain):
        training_step = of

        def __init__(self) -> None:
            super().__init__(net())
            for name, make in more.items():
                setattr(self, name, make())

    return Case("stacked", Stepping, samples)


def loss_of(module: Plain, batch: Any) -> Tensor:
    return F.cross_entropy(module(batch[0]), batch[1])


def accuracy() -> torchmetrics.Metric:
    return torchmetrics.classification.MulticlassAccuracy(CLASSES, average="micro")
