"""trainer=vectorized gives what trainer=lightning gives: algorithm by module, in 64 bits, after three rounds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import lr_scheduler as schedules

from fedlit.aggregators import (
    APFL,
    Aggregator,
    FedAMP,
    FedAvg,
    FedBABU,
    FedPer,
    FedProx,
    Moon,
    PerFedAvg,
    QFedAvg,
    Scaffold,
)
from fedlit.models import Mlp
from fedlit.training.stacked import VectorizedTrainer
from fedlit.training.stacked.setup import StackPlan
from fedlit.training.stacked.worker import StackedWorker
from tests.aggregators.federations import SIZES, TEST_SIZES, Listed, Net, Running, kept, numbers
from tests.slow import some_slow

COHORTS = [[0, 2, 3], [3, 1, 2], [1, 0]]
N = sum(SIZES) + sum(TEST_SIZES)


class Classifier(pl.LightningModule):
    """`net` gives (B, 3)."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss, on_epoch=True)
        return loss


class Awkward(nn.Module):
    """Dropout, tied weights, a frozen layer, and one submodule under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.back = nn.Linear(6, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
        self.back.weight = self.again.weight
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.drop, self.classifier = nn.Dropout(0.3), nn.Linear(8, 3)
        self.head = self.classifier

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(torch.tanh(self.first(x)))
        return self.head(self.drop(torch.tanh(self.back(self.again(x)) + self.frozen(x))))


class TwoGroups(Classifier):
    """Two parameter groups, momentum, weight decay and a scheduler that steps with each batch."""

    def configure_optimizers(self) -> Any:
        *body, weight, bias = self.parameters()
        groups = [{"params": body}, {"params": [weight, bias], "lr": 0.05, "momentum": 0.5}]
        optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9), "interval": "step"},
        }


def scheduled(interval: str, make: Callable[[Any], Any]) -> Callable[[], pl.LightningModule]:
    """A small net under SGD with momentum and a scheduler."""

    class Scheduled(Classifier):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
            return [optimizer], [{"scheduler": make(optimizer), "interval": interval}]

    return lambda: Scheduled(Net())


class Characters(nn.Module):
    """An LSTM over letters that classifies texts."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.lstm = nn.Embedding(8, 5, padding_idx=0), nn.LSTM(5, 6, 2, batch_first=True, dropout=0.2)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(self.letters(x))[0][:, -1])


class SmallTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(8, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.letters(x)).mean(1))


def cnn() -> nn.Module:
    pooled = (nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(4, 6, 3), nn.Tanh())
    return nn.Sequential(*pooled, nn.Flatten(), nn.Linear(6, 3))


def images() -> tuple[Tensor, Tensor]:
    _, y = numbers()
    return torch.randn(N, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), y


def text() -> tuple[Tensor, Tensor]:
    _, y = numbers()
    return torch.randint(0, 8, (N, 7), generator=torch.Generator().manual_seed(2)), y


MODULES: dict[str, tuple[Callable[[], pl.LightningModule], Callable[[], tuple[Tensor, Tensor]]]] = {
    "mlp": (Net, numbers),
    "batch_norm": (lambda: Net(norm=True), numbers),
    "dropout": (lambda: Net(dropout=0.5), numbers),
    "cnn": (lambda: Classifier(cnn()), images),
    "awkward": (lambda: Classifier(Awkward()), numbers),
    "two_groups": (lambda: TwoGroups(Net()), numbers),
    "by_step": (scheduled("step", lambda o: schedules.ExponentialLR(o, 0.7)), numbers),
    "by_epoch": (scheduled("epoch", lambda o: schedules.StepLR(o, 1, 0.3)), numbers),
    "cyclic": (scheduled("step", lambda o: schedules.CyclicLR(o, 0.01, 0.2, 2)), numbers),  # of momentum, too
    "lstm": (lambda: Classifier(Characters()), text),
    "ready": (lambda: Mlp([6], 3, [8], dropout=0.2), numbers),  # measured sample by sample, as a stack too
    "transformer": (lambda: Classifier(SmallTransformer()), text),
}
ALGORITHMS: dict[str, Callable[[], Aggregator]] = {
    "fedavg": FedAvg,
    "fedprox": lambda: FedProx(mu=0.1),
    "fedper": FedPer,
    "scaffold": Scaffold,
    "moon": Moon,
    "apfl": APFL,
    "fedbabu": FedBABU,
    "qfedavg": QFedAvg,
    "fedamp": lambda: FedAMP(alpha=0.1, lam=0.05, sigma=0.5),
    "perfedavg": lambda: PerFedAvg(alpha=0.1),
}
QUICK = {("fedavg", m) for m in MODULES if m not in ("transformer", "by_step", "by_epoch")}
QUICK |= {(a, "batch_norm") for a in ("fedprox", "fedper", "scaffold", "qfedavg", "fedamp")}
QUICK |= {
    ("scaffold", "by_step"),
    ("qfedavg", "cyclic"),
    ("moon", "awkward"),
    ("perfedavg", "batch_norm"),
    ("apfl", "two_groups"),
    ("fedbabu", "two_groups"),
}


def pairs() -> list[Any]:
    result = []
    for algorithm in ALGORITHMS:
        for module in MODULES:
            marks = [] if (algorithm, module) in QUICK else [pytest.mark.slow]
            result.append(pytest.param(algorithm, module, marks=marks, id=f"{algorithm}-{module}"))
    return result


def run(folder: Path, algorithm: str, module: str, rounds: int = 3, **trainer: Any) -> Running:
    make, samples = MODULES[module]
    torch.manual_seed(0)
    options = {"net": make(), "samples": samples(), "optimizer": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}}
    return Running(folder, ALGORITHMS[algorithm](), Listed(*COHORTS), **options, **trainer).go(rounds)


@pytest.mark.parametrize(("algorithm", "module"), pairs())
def test_a_stack_gives_the_same_numbers_as_trainers(algorithm: str, module: str, tmp_path: Path) -> None:
    plain = run(tmp_path, algorithm, module)
    stacked = run(tmp_path, algorithm, module, kind=VectorizedTrainer, stack="always")
    assert stacked.engine.local_worker.setup.plan.stacked, stacked.engine.local_worker.setup.plan.reason
    left, right = kept(plain), kept(stacked)
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(
            right[name], value, rtol=1e-9, atol=1e-9, equal_nan=True, msg=partial("{}: {}".format, name)
        )


@pytest.mark.parametrize(
    "module", some_slow(MODULES, ["batch_norm", "dropout", "two_groups", "by_epoch", "transformer"])
)
def test_one_by_one_gives_the_same_bits_as_trainers(module: str, tmp_path: Path) -> None:
    plain = run(tmp_path, "fedprox", module)
    rows = run(tmp_path, "fedprox", module, kind=VectorizedTrainer, stack="never")
    for name, value in kept(plain).items():
        assert torch.equal(kept(rows)[name].nan_to_num(), value.nan_to_num()), name


READ_RATES = ("scaffold", "apfl", "qfedavg")  # algorithms that read learning rates or the gain
SCHEDULED = ("two_groups", "by_step", "by_epoch", "cyclic")


CHUNKED = [("scaffold", "dropout"), *((a, m) for a in READ_RATES for m in SCHEDULED)]
QUICK_CHUNKED = [("scaffold", "dropout"), ("scaffold", "by_step"), ("apfl", "two_groups"), ("qfedavg", "cyclic")]


@pytest.mark.parametrize("chunk", some_slow([1, 2], [2]))  # a cohort of three leaves a chunk of one
@pytest.mark.parametrize(("algorithm", "module"), some_slow(CHUNKED, QUICK_CHUNKED))
def test_the_size_of_chunks_does_not_change_the_numbers(
    algorithm: str, module: str, chunk: int, tmp_path: Path
) -> None:
    """Nor whether it is a Trainer's."""
    expected = kept(run(tmp_path, algorithm, module))
    chunked = run(tmp_path, algorithm, module, kind=VectorizedTrainer, stack="always", chunk=chunk)
    assert chunked.engine.local_worker.setup.plan.stacked
    for name, value in kept(chunked).items():
        torch.testing.assert_close(
            value, expected[name], rtol=1e-9, atol=1e-9, equal_nan=True, msg=partial("{}: {}".format, name)
        )


@pytest.mark.parametrize(
    "options",
    [
        {"gradient_clip_val": 0.05},
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
        {"limit_train_batches": 2},
        {"limit_train_batches": 0.5},
    ],
    ids=str,
)
def test_options_have_the_same_effect_on_every_trainer(options: dict[str, Any], tmp_path: Path) -> None:
    plain = run(tmp_path, "fedavg", "mlp", **options)
    stacked = run(tmp_path, "fedavg", "mlp", kind=VectorizedTrainer, **options)
    rows = run(tmp_path, "fedavg", "mlp", kind=VectorizedTrainer, stack="never", **options)
    free = run(tmp_path, "fedavg", "mlp")
    assert stacked.engine.local_worker.setup.plan.stacked
    torch.testing.assert_close(stacked.weights, plain.weights, rtol=0, atol=1e-12)
    torch.testing.assert_close(rows.weights, plain.weights, rtol=0, atol=1e-12)
    assert float((free.weights - plain.weights).abs().max()) > 1e-4


@pytest.mark.parametrize(
    ("stacked", "weights", "sizes"),
    [(True, 5_000, [50, 50]), (True, 11_000_000, [5] * 20), (True, 10**9, [1] * 100), (False, 5_000, [1] * 100)],
)
def test_chunks_are_even_small_for_large_models_and_one_client_without_a_stack(
    stacked: bool, weights: int, sizes: list[int]
) -> None:
    host = SimpleNamespace(layout=SimpleNamespace(size=weights))
    worker: Any = SimpleNamespace(chunk=None, setup=SimpleNamespace(plan=StackPlan(stacked)), host=host)
    jobs: list[Any] = [None] * 100
    assert [s.stop - s.start for s in StackedWorker.chunks(worker, jobs)] == sizes
