"""`step.targets` of a `gradient_fn`: the part of a batch that `data.target` names, in a fit of each kind."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from fedlit.data import adopt
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.round import Round
from fedlit.training import Job, JobData
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from fedlit.user_module.module_snapshot import counters
from tests.stacks import check_stacked

N = 12
X, Y = torch.arange(2.0 * N).view(N, 2) / N, 100 + torch.arange(N)
TRAINERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lightning": (LightningTrainer, {}),
    "stack": (VectorizedTrainer, {"stack": "always"}),
    "chunks of one": (VectorizedTrainer, {"stack": "always", "chunk": 1}),
    "one by one": (VectorizedTrainer, {"stack": "never"}),
}


class Items(Dataset[Any]):
    def __init__(self, item: Any):
        self.item = item

    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> Any:
        return self.item(X[i], int(Y[i]), i)


DATA: dict[str, tuple[Any, Any]] = {
    "pair": (TensorDataset(X, Y), None),
    "targets in the middle": (TensorDataset(X, Y, torch.arange(N)), 1),
    "targets first": (TensorDataset(Y, X), 0),
    "counted from the end": (TensorDataset(X, torch.arange(N), Y), -1),
    "number after the label": (Items(lambda x, y, i: {"x": x, "label": y, "number": i}), None),
    "key": (Items(lambda x, y, i: {"x": x, "kind": y, "number": i}), "kind"),
    "targets in a tuple": (Items(lambda x, y, i: (x, (y,))), None),
}


class Net(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(2, 1)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        tensors = batch.values() if isinstance(batch, dict) else batch
        return self.net(next(t for t in tensors if isinstance(t, Tensor) and t.is_floating_point())).square().mean()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def targets_seen(dataset: Any, target: Any, trainer: str) -> list[list[list[int]]]:
    """The targets of each step, a list for each client of it."""

    class Data:
        train = test = dataset

    samples = adopt(Data(), target).train
    trainer_class, options = TRAINERS[trainer]
    worker = trainer_class(accelerator="cpu", **options).worker(Net(), JobData(samples, samples), Measure())
    jobs = [Job(c, Round(1, 0, [0, 1], 2), 4, 1, part) for c, part in enumerate(np.split(np.arange(N), 2))]
    seen = []

    def gradient_fn(step: Any, w: Tensor) -> Tensor:
        seen.append(step.targets.tolist())
        return torch.zeros_like(w)

    start, counts = worker.host.layout.read(worker.host.module), counters(worker.host.module)
    for rows in worker.chunks(jobs):
        worker.client(jobs[rows], counts, [{}] * len(jobs[rows])).fit(start, gradient_fn=gradient_fn)
    if options.get("stack") == "always":
        check_stacked(worker)
    return seen


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize("name", DATA)
def test_the_targets_of_a_step_are_the_part_that_holds_them(name: str, trainer: str) -> None:
    seen = targets_seen(*DATA[name], trainer)
    numbers = [label for step in seen for client in step for label in client]
    assert sorted(numbers) == Y.tolist()
    assert all(len({(label - 100) // 6 for label in client}) == 1 for step in seen for client in step)


@pytest.mark.parametrize("trainer", TRAINERS)
@pytest.mark.parametrize(
    "item",
    [
        lambda x, y, i: (x,),
        lambda x, y, i: (x, (y, i)),
        lambda x, y, i: {"x": x, "number": i},
    ],
    ids=["no targets", "two targets", "number of the sample"],
)
def test_a_batch_without_one_tensor_of_targets_is_refused(item: Any, trainer: str) -> None:
    with pytest.raises(InputError, match=r"step.targets.*data.target="):
        targets_seen(Items(item), None, trainer)
