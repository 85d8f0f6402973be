"""`step.loss` of a part of a batch: batches that can be cut, and those that are refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fedlit.data import TensorSamples
from fedlit.errors import InputError
from fedlit.training.batch_step import BatchStep
from tests.small_runs import command

X, Y = torch.arange(8.0).view(4, 2), torch.arange(4)


class Echo(BatchStep):
    """Its losses are the batches that the step would get."""

    axis = 0

    def _evaluate(self, quantity: str, weights: Tensor, batch: Any) -> Any:
        return batch

    def _draw_keys(self, what: str) -> Tensor:
        raise NotImplementedError


def loss(batch: Any, part: tuple[int, int]) -> Any:
    step = Echo(batch, 0, torch.ones(1, 1), TensorSamples(X, Y), torch.full((1, 1), 4.0), np.zeros(1, np.int64))
    return step.loss(torch.ones(1, 1), part)


@pytest.mark.parametrize("constant", [3, 0.5, "train", None, torch.tensor(2.0)], ids=str)
def test_tensors_are_cut_and_constants_stay(constant: Any) -> None:
    part = loss({"x": X, "more": (Y, constant)}, (1, 2))
    assert part["x"].tolist() == X[1::2].tolist() and part["more"][0].tolist() == [1, 3]
    assert part["more"][1] is constant


@pytest.mark.parametrize(
    ("batch", "name"),
    [
        (SimpleNamespace(x=X, y=Y), "SimpleNamespace"),
        ((X, SimpleNamespace(y=Y)), "SimpleNamespace"),
        ({"x": ["a", "b", "c", "d"], "y": Y}, "list"),
        ((X, (0.5, 1.0, 2.0, 3.0)), "tuple"),
        ((X, Y.numpy()), "ndarray"),
    ],
    ids=str,
)
def test_values_of_samples_that_cannot_be_cut_are_refused(batch: Any, name: str) -> None:
    with pytest.raises(InputError, match=f"holds a {name} that cannot be cut"):
        loss(batch, (0, 2))
    assert loss(batch, (0, 1)) is batch


USER = """
import lightning.pytorch as pl
import torch
from fedlit.aggregators import Aggregator

class Pair:
    def __init__(self, samples):
        self.x, self.y = (torch.stack(part) for part in zip(*samples))
    def to(self, device):
        return self
    def __len__(self):
        return len(self.x)

class Data(pl.LightningDataModule):
    def train_dataloader(self):
        data = torch.utils.data.TensorDataset(torch.ones(24, 3), torch.arange(24) % 2)
        return torch.utils.data.DataLoader(data, 4, collate_fn=Pair)
    test_dataloader = train_dataloader

class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(3, 2)
    def training_step(self, batch, batch_idx):
        return torch.nn.functional.cross_entropy(self.net(batch.x), batch.y)
    validation_step = training_step
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

class Halves(Aggregator):
    def local_update(self, client, received, state):
        def gradient(step, w):
            return torch.autograd.grad(sum(step.loss(w, part=(i, 2)).sum() for i in range(2)), w)[0]
        return {"delta": client.fit(received["model"], gradient_fn=gradient).model - received["model"]}, state
"""


@pytest.mark.parametrize("trainer", ["lightning", "vectorized"])
def test_an_algorithm_that_cuts_batches_of_objects_is_refused_before_the_run(
    trainer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"halves_{trainer}.py").write_text(USER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    users = {"model": "Net", "data": "Data", "aggregator": "Halves"}
    words = [f"{key}._target_=halves_{trainer}.{name}" for key, name in users.items()]
    code = command(
        *words, f"trainer={trainer}", "clients=2", "rounds=1", "threads=1", "device=cpu", "hydra.run.dir=run"
    )
    assert code == 2 and "holds a Pair that cannot be cut" in capfd.readouterr().err
    assert not (tmp_path / "run/metrics.jsonl").exists()
