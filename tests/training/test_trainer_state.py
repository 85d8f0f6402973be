"""What a fit leaves on callbacks and on the Trainer does not reach the next client: each is trained as the first."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, GradientAccumulationScheduler, StochasticWeightAveraging
from torch import Tensor, nn
from torch.nn import functional as F

from fedlit.data import TensorSamples
from tests.slow import some_slow
from tests.training.rounds import Federated, cut, delta, numbers


class Net(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(6, 3)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.log("loss", loss, on_step=False, on_epoch=True)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.5)


class Callback(pl.Callback):
    """Scales each gradient by `factor()`, which depends on its state."""

    def factor(self) -> float:
        raise NotImplementedError

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Any) -> None:
        factor = self.factor()
        for p in module.parameters():
            p.grad *= factor  # type: ignore[operator]


class Counter(Callback):
    steps = 0

    def factor(self) -> float:
        self.steps += 1
        return 1 / self.steps


class Nested(Callback):
    def __init__(self) -> None:
        self.seen: dict[str, list[int]] = {"steps": []}

    def factor(self) -> float:
        self.seen["steps"].append(1)
        return 1 / len(self.seen["steps"])


class Tensors(Callback):
    def __init__(self) -> None:
        self.scale = torch.ones(())

    def factor(self) -> float:
        return float(self.scale.mul_(0.9))


class Draws(Callback):
    def __init__(self) -> None:
        self.rng = random.Random(0)

    def factor(self) -> float:
        return self.rng.random()


class WithFile(Counter):
    """It cannot be copied as a whole."""

    def __init__(self) -> None:
        self.file = open(Path(__file__))  # noqa: SIM115


class Reader(Callback):
    """Reads the state of another callback."""

    def __init__(self, other: Counter):
        self.other = other

    def factor(self) -> float:
        return 1 / max(self.other.steps, 1)


def counter_and_reader() -> list[Any]:
    counter = Counter()
    return [counter, Reader(counter)]


class Averaged(pl.Callback):
    """An exponential average of the weights, which the module ends with."""

    average: Any = None

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *args: Any) -> None:
        w = module.net.weight.detach()
        self.average = w.clone() if self.average is None else 0.5 * self.average + 0.5 * w

    def on_train_end(self, trainer: pl.Trainer, module: Any) -> None:
        module.net.weight.data.copy_(self.average)


class Reconfigures(pl.Callback):
    """Changes options of the Trainer within a fit."""

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.gradient_clip_val = 0.05
        trainer.accumulate_grad_batches = 2


class Extends(pl.Callback):
    """Adds another callback in a fit."""

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        trainer.callbacks.append(Counter())  # type: ignore[attr-defined]


KINDS: dict[str, Callable[[], list[Any]]] = {
    "a counter": lambda: [Counter()],
    "a list in a dict": lambda: [Nested()],
    "a tensor": lambda: [Tensors()],
    "a generator": lambda: [Draws()],
    "an open file": lambda: [WithFile()],
    "two that share": counter_and_reader,
    "an average": lambda: [Averaged()],
    "options of the Trainer": lambda: [Reconfigures()],
    "another callback": lambda: [Extends()],
    "EarlyStopping": lambda: [EarlyStopping("loss", patience=1, min_delta=0.2, check_on_train_epoch_end=True)],
    "StochasticWeightAveraging": lambda: [StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=1)],
    "GradientAccumulationScheduler": lambda: [GradientAccumulationScheduler({1: 2})],
}


def trained(callbacks: list[Any], order: list[int], rounds: int = 1) -> dict[int, Tensor]:
    """The change of each client's weights in the last of some rounds."""
    torch.manual_seed(0)
    run = Federated(Net(), TensorSamples(*numbers(36)), cut(12, 16, 8), options={"callbacks": callbacks})
    for _ in range(rounds):
        returned = run.round(order, epochs=4)
    return {r.clients[0]: delta(r) for r in returned}


QUICK = ["a list in a dict", "a tensor", "a generator", "two that share", "options of the Trainer"]
QUICK += ["StochasticWeightAveraging"]


@pytest.mark.parametrize("name", some_slow(KINDS, QUICK))
def test_each_client_is_trained_as_the_first(name: str) -> None:
    alone = {c: trained(KINDS[name](), [c])[c] for c in range(3)}
    together = trained(KINDS[name](), [0, 1, 2], rounds=2)
    plain = trained([], [0, 1, 2])
    assert not torch.equal(alone[0], plain[0]), "the callback changes a fit"
    for client, change in alone.items():
        assert torch.equal(together[client], change)


def test_the_callbacks_of_a_failed_client_are_restored() -> None:
    class Fails(Counter):
        def on_train_batch_end(self, trainer: pl.Trainer, module: Any, *args: Any) -> None:
            if self.steps == 3 and trainer.datamodule.count() == 4:  # type: ignore[attr-defined]
                raise ZeroDivisionError("a client of four batches")

    torch.manual_seed(0)
    shards, samples = cut(12, 16, 8), TensorSamples(*numbers(36))
    run = Federated(Net(), samples, shards, on_failure="drop", options={"callbacks": [Fails()]})
    returned = [r for r in run.round([1, 0, 2], epochs=4) if r.clients]
    expected = trained([Counter()], [0, 2])
    assert {r.clients[0] for r in returned} == {0, 2}
    assert all(torch.equal(delta(r), expected[r.clients[0]]) for r in returned)
