"""Exported files hold the trained models, and are read without fedlit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

import fedlit
from fedlit import export
from fedlit.models import Mlp
from tests.small_runs import command, saved

QUICK = [
    *("clients=3", "rounds=1", "threads=1", "device=cpu", "logger=none", "progress=none", "hydra.run.dir=run"),
    *("evaluation.clients=0", "evaluation.test_samples=1"),
]


class Tied(pl.LightningModule):
    """Two names of one tensor, a counter, a frozen layer, and hyperparameters of its own."""

    def __init__(self, width: int, labels: list[str] | None = None):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Linear(64, width, bias=False)
        self.decoder = nn.Linear(64, width, bias=False)
        self.decoder.weight = self.encoder.weight
        self.norm = nn.BatchNorm1d(width)
        self.frozen = nn.Linear(width, width).requires_grad_(False)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.head(self.frozen(self.norm(self.encoder(x) + self.decoder(x))))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


class Layerless(Tied):
    """Its layers are made in `setup`, which load_from_checkpoint does not call."""

    def __init__(self, width: int):
        pl.LightningModule.__init__(self)
        self.width = width
        self.net: Any = None

    def setup(self, stage: str) -> None:
        if self.net is None:
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, self.width), nn.ReLU(), nn.Linear(self.width, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Given(pl.LightningModule):
    """A layer is an argument, which the hyperparameters leave out, as many templates do."""

    def __init__(self, layer: nn.Module, lr: float = 0.1, unused: Any = None):
        super().__init__()
        self.save_hyperparameters(ignore=["layer"])
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


def same(state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in state.items())


def test_a_state_dict_and_a_checkpoint_of_lightning_hold_the_global_model(in_folder: Path) -> None:
    assert command(*QUICK, f"model._target_={__name__}.Tied", "model.width=6", "+model.labels=[a]") == 0
    assert export.main(["run"]) == export.main(["run", "format=lightning", "out=mine"]) == 0
    state = load_file("run/export/model.safetensors")
    module = fedlit.load("run").module()
    assert same(state, module.state_dict()) and "decoder.weight" in state and "norm.num_batches_tracked" in state
    assert torch.equal(
        state["encoder.weight"].flatten(), saved(Path("run"), 1)["server"]["model"]["__model__"][0][:384]
    )
    with safe_open("run/export/model.safetensors", "pt") as file:
        assert file.metadata() == {"run": "run", "checkpoint": "round_0001"}
    fresh = Tied(6)
    fresh.load_state_dict(state)
    loaded = Tied.load_from_checkpoint("mine/model.ckpt")
    assert same(loaded.state_dict(), state) and loaded.hparams == {"width": 6, "labels": ["a"]}
    assert export.main(["run", "checkpoint=0"]) == 0
    assert not same(load_file("run/export/model.safetensors"), state)


def test_a_module_without_hyperparameters_gets_the_arguments_of_the_run(in_folder: Path) -> None:
    assert command(*QUICK, "aggregator=fedper", "model.hidden=[5]", "store=disk") == 0
    assert export.main(["run", "personal=true", "format=lightning"]) == 0
    assert export.main(["run", "personal=1"]) == 0
    files = sorted(path.name for path in Path("run/export").iterdir())
    assert files == ["client_0000.ckpt", "client_0001.ckpt", "client_0001.safetensors", "client_0002.ckpt"]
    run = fedlit.load("run")
    for client in range(3):
        loaded = Mlp.load_from_checkpoint(f"run/export/client_000{client}.ckpt")
        assert same(loaded.state_dict(), run.personal(client).state_dict())
    assert same(load_file("run/export/client_0001.safetensors"), run.personal(1).state_dict())
    assert not same(run.personal(0).state_dict(), run.personal(1).state_dict())


def test_objects_of_the_configuration_are_given_once_more(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer = [f"model.layer.{word}" for word in ("_target_=torch.nn.Linear", "in_features=64", "out_features=10")]
    assert command(*QUICK, f"model._target_={__name__}.Given", "model.lr=0.2", *layer) == 0
    capsys.readouterr()
    assert export.main(["run", "format=lightning"]) == 0
    assert capsys.readouterr().out.endswith("of round_0001; load_from_checkpoint needs layer=<object>\n")
    loaded = Given.load_from_checkpoint("run/export/model.ckpt", layer=nn.Linear(64, 10))
    assert same(loaded.state_dict(), fedlit.load("run").module().state_dict()) and loaded.hparams["lr"] == 0.2


def test_what_cannot_be_exported_is_refused(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*QUICK, f"model._target_={__name__}.Layerless", "model.width=6") == 0
    assert export.main(["run"]) == 0
    cases = {
        "format=lightning": "Layerless.load_from_checkpoint cannot make the module again",
        "format=onnx": "the formats are safetensors and lightning",
        "personal=true": "personal=true: under FedAvg no client has a model of its own",
        "checkpoint=9": "this run has kept no such round; write checkpoint=last, 0 or 1.",
        "data.normalize=none": "these are not the data of the run",
        "rounds=3": "fedlit.export does not read rounds",
        "out=": "out=: this is no folder; write out=<folder>",
        "out=run/summary.json": "this is no folder",
        "out=model.ckpt": "this is no folder",
    }
    capsys.readouterr()
    for word, sentence in cases.items():
        assert export.main(["run", word]) == 2
        assert sentence in capsys.readouterr().err
    assert sorted(path.name for path in Path("run/export").iterdir()) == ["model.safetensors"]
    assert export.main(["run", "out=run/summary.json/inner"]) == 74
    assert capsys.readouterr().err.endswith("; give another place by out=<folder>.\n")


def test_without_a_global_model_the_clients_are_named(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(*QUICK, "aggregator=local", "model=logistic") == 0
    capsys.readouterr()
    assert export.main(["run"]) == 2
    assert (
        "has no global model; write run.personal(<client>) for the model of a client, or personal=<client>"
        in capsys.readouterr().err
    )
    assert export.main(["run", "personal=2"]) == 0


def test_each_client_has_a_fine_tuned_model_after_training_on_pooled_data(in_folder: Path) -> None:
    assert command(*QUICK, "aggregator=centralized", "evaluation.finetune=1", "model=logistic") == 0
    assert export.main(["run", "personal=true"]) == 0
    files = [f"client_000{client}.safetensors" for client in range(3)]
    assert sorted(path.name for path in Path("run/export").iterdir()) == files
    states = [load_file(Path("run/export") / file) for file in files]
    run = fedlit.load("run")
    assert all(same(state, run.personal(client).state_dict()) for client, state in enumerate(states))
    assert not same(states[0], states[1])
