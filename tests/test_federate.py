"""Runs with a module, data and an algorithm that are objects of the caller's."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fedlit
from fedlit.errors import InputError
from fedlit.run import main
from tests.small_runs import same_bits, saved

WORDS = ("clients=3", "threads=1", "device=cpu", "logger=none", "progress=none")


class Net(pl.LightningModule):
    def __init__(self, lr: float = 0.1, seed: int = 3):
        super().__init__()
        self.lr = lr
        torch.manual_seed(seed)
        self.body, self.norm, self.head = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.body(x))))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Data(pl.LightningDataModule):
    def setup(self, stage: str | None = None) -> None:
        x = torch.randn(90, 4, generator=torch.Generator().manual_seed(0))
        y = x[:, :3].argmax(1)
        self.train, self.test = TensorDataset(x[:60], y[:60]), TensorDataset(x[60:], y[60:])

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.train, batch_size=32, shuffle=True)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.test, batch_size=32)


class Half(fedlit.FedAvg):
    """The server goes a part of the way."""

    def __init__(self, step: float = 0.5):
        super().__init__()
        self.step = step


def accuracy(module: nn.Module) -> float:
    data = Data()
    data.setup()
    x, y = data.test.tensors
    with torch.no_grad():
        return (module(x).argmax(1) == y).sum().item() / len(y)


def test_live_objects_train_stay_as_they_are_and_resume_to_the_same_bits(in_folder: Path) -> None:
    net, data, algorithm = Net(), Data(), Half()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    whole = fedlit.federate(net, data, *WORDS, "rounds=3", "hydra.run.dir=whole", aggregator=algorithm)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not hasattr(data, "train") and vars(algorithm).keys() == vars(Half()).keys()
    assert accuracy(whole.module()) == whole.metrics["global/test/accuracy"].iloc[-1]
    assert "Half" in Path("whole/run.log").read_text()

    fedlit.federate(net, data, *WORDS, "rounds=1", "hydra.run.dir=cut", aggregator=algorithm)
    resumed = fedlit.federate(Net(), Data(), "resume=cut", "rounds=3", aggregator=Half())
    assert same_bits(saved(resumed.folder, 3), saved(whole.folder, 3))

    go_on = ("resume=cut", "rounds=4")
    for refused, sentence in (
        (lambda: fedlit.federate(Net(seed=4), Data(), *go_on, aggregator=Half()), "module: .*other weights"),
        (lambda: fedlit.federate(Net(lr=0.2), Data(), *go_on, aggregator=Half()), "module: .*or attributes"),
        (lambda: fedlit.federate(Net(), Data(), *go_on, aggregator=Half(0.1)), "aggregator: .*or attributes"),
        (lambda: fedlit.federate(Net(), Data(), *go_on), "aggregator: .*which is not saved"),
        (lambda: fedlit.federate(Net(), Data(), *go_on, aggregator=fedlit.FedAvg()), "aggregator: .*not one of"),
        (lambda: fedlit.simulate(go_on), "which is not saved; give an equal one in Python"),
        (lambda: fedlit.load("cut").module(), "which is not saved"),
    ):
        with pytest.raises(InputError, match=sentence):
            refused()
    assert main(list(go_on)) == 2


def test_personal_models_are_those_of_the_clients(in_folder: Path) -> None:
    run = fedlit.federate(Net(), Data(), *WORDS, "rounds=2", "aggregator=local")
    states = saved(run.folder, 2)["clients"]
    weights = [torch.cat([p.detach().flatten() for p in run.personal(client).parameters()]) for client in range(3)]
    kept = [state["algorithm"]["model"]["__model__"][0] for _, state in sorted(states.items())]
    assert all(torch.equal(model, weight) for model, weight in zip(kept, weights, strict=True))
    assert not torch.equal(weights[0], weights[1])


def test_objects_and_words_that_do_not_go_together_are_refused() -> None:
    for refused, sentence in (
        (lambda: fedlit.federate(Net, Data()), r"module=Net is a class; give an object of it, Net\(...\)"),
        (lambda: fedlit.federate(Net(), Data), "data=Data is a class"),
        (lambda: fedlit.federate(Net(), Data(), aggregator=Half), "aggregator=Half is a class"),
        (lambda: fedlit.federate(nn.Linear(1, 1), Data()), "inherits from LightningModule"),
        (lambda: fedlit.federate(Net().to("meta"), Data()), "weights on the device meta"),
        (lambda: fedlit.federate(Net(), [1]), "data is an object of type list"),
        (lambda: fedlit.federate(Net(), None), "data is None"),
        (lambda: fedlit.federate(Net(), (torch.ones(2, 4), torch.ones(2))), "write TensorDataset"),
        (lambda: fedlit.federate(Net(), ((torch.ones(2, 4), torch.ones(2)), ())), "write TensorDataset"),
        (lambda: fedlit.federate(Net(), (DataLoader([1]), [1])), "give its data set, <loader>.dataset"),
        (lambda: fedlit.federate(Net(), Data(), ["clients=3"]), "words are texts"),
        (lambda: fedlit.federate(Net(), Data(), "model=mlp"), "model=mlp: federate has an object in this place"),
    ):
        with pytest.raises(InputError, match=sentence):
            refused()


def test_the_partition_is_read_client_by_client(in_folder: Path) -> None:
    run = fedlit.federate(Net(), Data(), *WORDS, "rounds=1")
    (run.folder / "partition.npz").unlink(missing_ok=True)
    with pytest.raises(InputError, match="has no partition.npz"):
        run.partition  # noqa: B018
    arrays = {"train": [5, 1, 7], "train_ends": [0, 2, 2, 3]}
    empty = {f"{part}{end}": [0] * (4 if end else 0) for part in ("validation", "test") for end in ("", "_ends")}
    np.savez(run.folder / "partition.npz", **{name: np.array(value, int) for name, value in (arrays | empty).items()})
    assert [part.tolist() for part in run.partition["train"]] == [[5, 1], [], [7]]
    assert [len(part) for part in run.partition["test"]] == [0, 0, 0]
