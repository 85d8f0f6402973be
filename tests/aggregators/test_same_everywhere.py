"""Every algorithm of conf/aggregator/ gives the same numbers on every trainer and engine, in double precision.

Six clients with unequal batch counts: one has a single sample, one is drawn first in the last round, and one never.
Everything that server and clients keep is compared, and every metric.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler as schedules

from fedlit.engines import Processes
from fedlit.errors import InputError
from fedlit.models import CharLstm, CnnBn, Mlp
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import CLASSES, Listed, Running, kept, numbers
from tests.aggregators.posed import algorithm
from tests.small_runs import OPTIONS

CLIENTS = {
    "sizes": (9, 4, 5, 3, 1, 2),
    "validation_sizes": (2, 1, 1, 2, 1, 1),
    "test_sizes": (4, 4, 4, 4, 2, 2),
}
COHORTS = [[0, 4], [4, 2, 1], [1, 3, 0]]
LETTERS = 8


def images() -> tuple[Tensor, Tensor]:
    _, y = numbers()
    return torch.randn(len(y), 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)), y


def text() -> tuple[Tensor, Tensor]:
    _, y = numbers()
    return torch.randint(0, LETTERS, (len(y), 7), generator=torch.Generator().manual_seed(2)), y


MODULES: dict[str, tuple[Callable[[], pl.LightningModule], Callable[[], tuple[Tensor, Tensor]]]] = {
    "mlp": (lambda: Mlp([6], CLASSES, [8], dropout=0.2), numbers),
    "cnn_bn": (lambda: CnnBn([1, 8, 8], CLASSES, [2, 3], 8), images),
    "char_lstm": (lambda: CharLstm([7], CLASSES, 4, 6, 2, LETTERS), text),
}
SGD = partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01)


def scheduled(parameters: Any) -> Any:
    """Two groups of parameters and a scheduler."""
    first, *others = parameters
    optimizer = SGD([{"params": others}, {"params": [first], "lr": 0.05, "weight_decay": 0.0}])
    return [optimizer], [{"scheduler": schedules.ExponentialLR(optimizer, 0.7), "interval": "step"}]


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": SGD,
    # the gradient of a bias before batch normalisation is a rounding error, which the default eps=1e-8 would blow up
    "adam": partial(torch.optim.Adam, lr=0.01, eps=1e-4),
    "scheduled": scheduled,
}
NEED_SGD = ("fednova", "qfedavg", "scaffold")  # they divide by the gain of its steps
TRAINERS: dict[str, Mapping[str, Any]] = {
    "stack": {"kind": VectorizedTrainer, "stack": "always"},
    "chunks of one": {"kind": VectorizedTrainer, "stack": "always", "chunk": 1},
    "chunks of two": {"kind": VectorizedTrainer, "stack": "always", "chunk": 2},
    "rows": {"kind": VectorizedTrainer, "stack": "never"},
    "processes": {"engine": 2},
    "processes of stacks": {"kind": VectorizedTrainer, "engine": 2},
}
QUICK = {  # a case for each part of the contract
    ("fedavg", "cnn_bn", "scheduled", "chunks of two"),
    ("scaffold", "mlp", "scheduled", "stack"),  # control variates and the gain
    ("moon", "mlp", "sgd", "stack"),  # features
    ("apfl", "mlp", "sgd", "chunks of one"),  # tensors that are carried along
    ("fedbn", "cnn_bn", "sgd", "stack"),  # private parts
    ("fedrep", "mlp", "adam", "stack"),  # two fits of parts
    ("perfedavg", "mlp", "sgd", "stack"),  # second derivatives
    ("ifca", "char_lstm", "sgd", "rows"),  # weights that messages carry
    ("cfl", "mlp", "sgd", "stack"),  # every message on the server
    ("fedfomo", "mlp", "sgd", "stack"),  # downloads and losses
}


def configured(net: pl.LightningModule, optimizer: str) -> Any:
    return OPTIMIZERS[optimizer](net.parameters())


def run(folder: Path, option: str, module: str, optimizer: str, engine: int = 0, **trainer: Any) -> dict[str, Tensor]:
    """All that three rounds keep and measure."""
    make, samples = MODULES[module]
    torch.manual_seed(0)
    net = make()
    net.configure_optimizers = partial(configured, net, optimizer)  # type: ignore[method-assign]
    built = algorithm(option, {})
    sampler = Listed(*[[0]] * 3) if built.pooled else Listed(*COHORTS)
    clients = {**CLIENTS, "sizes": [sum(CLIENTS["sizes"])]} if built.pooled else CLIENTS
    processes = Processes(workers=engine) if engine else None
    try:
        running = Running(
            folder, built, sampler, net, samples=samples(), engine=processes, epochs=2, **clients, **trainer
        )
        return kept(running.go(3), clients=len(clients["sizes"]))
    finally:
        if processes is not None:
            processes.stop()


@cache
def by_trainers(option: str, module: str, optimizer: str) -> dict[str, Tensor] | InputError:
    """The numbers of `trainer=lightning`, or its refusal, such as that of an algorithm that needs SGD."""
    with TemporaryDirectory() as folder:
        try:
            return run(Path(folder), option, module, optimizer)
        except InputError as error:
            return error


def cases() -> list[Any]:
    result = []
    for option, module, optimizer, trainer in itertools.product(OPTIONS["aggregator"], MODULES, OPTIMIZERS, TRAINERS):
        if "processes" in trainer and optimizer != "sgd":
            continue  # workers train by the same code
        marks = () if (option, module, optimizer, trainer) in QUICK else (pytest.mark.slow,)
        result.append(pytest.param(option, module, optimizer, trainer, marks=marks))
    return result


@pytest.mark.parametrize(("option", "module", "optimizer", "trainer"), cases())
def test_the_numbers_are_those_of_one_trainer_a_client(
    option: str, module: str, optimizer: str, trainer: str, tmp_path: Path
) -> None:
    expected = by_trainers(option, module, optimizer)
    assert isinstance(expected, InputError) == (optimizer == "adam" and option in NEED_SGD)
    if isinstance(expected, InputError):
        with pytest.raises(InputError) as refusal:
            run(tmp_path, option, module, optimizer, **TRAINERS[trainer])
        assert str(refusal.value) == str(expected)
        return
    given = run(tmp_path, option, module, optimizer, **TRAINERS[trainer])
    assert given.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            given[name], value, rtol=1e-9, atol=1e-9, equal_nan=True, msg=partial("{}: {}".format, name)
        )
