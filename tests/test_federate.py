"""Runs with a module, data and an algorithm that are objects of the caller's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fedlit
from fedlit.errors import InputError
from tests.slow import some_slow
from tests.small_runs import same_bits, saved, without_figures

WORDS = ("clients=3", "threads=1", "device=cpu", "logger=none", "progress=none")


class Net(pl.LightningModule):
    def __init__(self, lr: float = 0.1, seed: int = 3, activation: Any = torch.relu, width: int = 6):
        super().__init__()
        self.lr, self.activation = lr, activation
        torch.manual_seed(seed)
        self.body, self.norm, self.head = nn.Linear(4, width), nn.BatchNorm1d(width), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.activation(self.norm(self.body(x))))

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


def datasets() -> tuple[TensorDataset, TensorDataset]:
    data = Data()
    data.setup()
    return data.train, data.test


def correct(module: nn.Module, samples: Any = slice(None)) -> float:
    x, y = (tensor[samples] for tensor in datasets()[1].tensors)
    with torch.no_grad():
        return (module(x).argmax(1) == y).sum().item() / len(y)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    without_figures(monkeypatch)


def test_live_objects_train_stay_as_they_are_and_resume_to_the_same_bits(in_folder: Path) -> None:
    net, data, algorithm = Net(), Data(), Half()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    whole = fedlit.federate(net, data, *WORDS, "rounds=2", "hydra.run.dir=whole", aggregator=algorithm)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not hasattr(data, "train") and vars(algorithm).keys() == vars(Half()).keys()
    net.head.weight.data.zero_()  # the run has a copy
    assert correct(whole.module()) == whole.metrics["global/test/accuracy"].iloc[-1]
    assert "Half" in Path("whole/run.log").read_text()

    fedlit.federate(Net(), datasets(), *WORDS, "rounds=1", "hydra.run.dir=cut", aggregator=Half())
    resumed = fedlit.federate(Net(), datasets(), "resume=cut", "rounds=2", aggregator=Half())
    assert same_bits(saved(resumed.folder, 2), saved(whole.folder, 2))

    loaded = fedlit.load("cut", Net(), datasets(), Half())
    assert correct(loaded.module()) == correct(whole.module())
    go_on = ("resume=cut", "rounds=4")
    for refused, sentence in (
        (lambda: fedlit.federate(Net(lr=0.2), datasets(), *go_on, aggregator=Half()), "module: .*other attributes"),
        (lambda: fedlit.load("cut", Net(lr=0.2, seed=4)), "module: .*other attributes, which are not saved"),
        (lambda: fedlit.load("cut", Net(activation=torch.tanh)), "module: .*other attributes"),
        (lambda: fedlit.load("cut", Net(width=5)), "module: .*other weights, in their names, shapes or types"),
        (lambda: fedlit.load("cut", Net().double()), "module: .*other weights, in their names, shapes or types"),
        (lambda: fedlit.load("cut", aggregator=Half(0.1)), "aggregator: .*other attributes"),
        (lambda: fedlit.load("cut", aggregator=fedlit.FedAvg()), "aggregator: .*not one of"),
        (lambda: fedlit.load("cut", data=Data()), "data: .*not one of"),
        (lambda: fedlit.load("cut", Net(), datasets()).module(), "aggregator: .*which is not saved; give one like it"),
    ):
        with pytest.raises(InputError, match=sentence):
            refused()
    shutil.rmtree("cut/checkpoints/round_0000")
    with pytest.raises(
        InputError, match=r"module: .*weights or attributes; .*torch.manual_seed.*round_0000 is missing"
    ):
        fedlit.load("cut", Net(seed=4), datasets())
    fedlit.load("cut", Net(), datasets())


VARIANTS = [
    "engine=serial",
    "trainer=vectorized trainer.stack=always store=disk",
    "engine=processes engine.workers=2",
    "trainer=vectorized store=disk engine=processes engine.workers=2",
]


class Awkward(Net):
    """Has a buffer that no state_dict holds, a counter, tied weights, and a layer that computes its weight."""

    def __init__(self, seed: int, frozen: float = 0.0):
        super().__init__(seed=seed)
        self.register_buffer("shift", torch.randn(4), persistent=False)
        self.register_buffer("seen", torch.tensor(seed))
        self.twice, self.scaled = nn.Linear(4, 4), nn.utils.weight_norm(nn.Linear(4, 4))
        self.twice.bias = self.scaled.bias
        self.teacher = nn.Linear(4, 4).requires_grad_(False)
        nn.init.constant_(self.teacher.weight, frozen)
        nn.init.zeros_(self.teacher.bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.scaled(self.twice(x + self.shift)) + self.teacher(x))


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
@pytest.mark.parametrize("variant", some_slow(VARIANTS, [VARIANTS[0]]))
def test_a_module_of_other_first_weights_stands_for_that_of_the_run(in_folder: Path, variant: str) -> None:
    words = (*WORDS, "aggregator=fedper", "participation=0.4", "checkpoint.keep=9", *variant.split())
    whole = fedlit.federate(Awkward(3), datasets(), *words, "rounds=2", "hydra.run.dir=whole")
    trained = whole.metrics["cohort/arrived"].sum()
    assert trained < 3  # some client uses the first weights
    fedlit.federate(Awkward(3), datasets(), *words, "rounds=1", "hydra.run.dir=cut")
    resumed = fedlit.federate(Awkward(8), datasets(), "resume=cut", "rounds=2")
    assert same_bits(saved(resumed.folder, 2), saved(whole.folder, 2))
    for seed in (8, 9):
        net = Awkward(seed)
        loaded = fedlit.load("whole", net, datasets())
        for client in range(3):
            expected, given = (run.personal(client) for run in (whole, loaded))
            numbers = given.state_dict()
            assert all(torch.equal(value, numbers[name]) for name, value in expected.state_dict().items())
            assert torch.equal(expected.shift, given.shift) and not torch.equal(net.shift, given.shift)
            assert torch.equal(expected(torch.ones(2, 4)), given(torch.ones(2, 4)))
    with pytest.raises(
        InputError, match=r"other attributes or frozen weights \(such as teacher.weight\), which are not"
    ):
        fedlit.load("whole", Awkward(3, frozen=0.5), datasets())


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_personal_models_are_those_of_the_clients(in_folder: Path, variant: str) -> None:
    run = fedlit.federate(Net(), datasets(), *WORDS, "rounds=2", "aggregator=local", *variant.split())
    states = saved(run.folder, 2)["clients"]
    models = [run.personal(client) for client in range(3)]
    weights = [torch.cat([p.detach().flatten() for p in model.parameters()]) for model in models]
    kept = [state["algorithm"]["model"]["__model__"][0] for _, state in sorted(states.items())]
    assert all(torch.equal(model, weight) for model, weight in zip(kept, weights, strict=True))
    assert not torch.equal(weights[0], weights[1])
    with pytest.raises(InputError, match=r"has no global model; .* run.personal\(<client>\)"):
        run.module()


@pytest.mark.slow
def test_personal_models_of_the_best_round_need_their_states(in_folder: Path) -> None:
    words = ("rounds=4", "checkpoint.keep=1", "evaluation.client_validation=0.3", "trainer.limit_train_batches=1")
    run = fedlit.federate(Net(lr=30.0), datasets(), *WORDS, *words, "aggregator=local")
    assert run.summary["best"]["round"] < 4  # so it is not kept with all states
    with pytest.raises(InputError, match=r"checkpoint=best: it was saved without the states of clients"):
        run.personal(0, "best")


@pytest.mark.parametrize("variant", some_slow(VARIANTS, [VARIANTS[1]]))
def test_fine_tuned_models_have_the_accuracy_that_the_run_says(in_folder: Path, variant: str) -> None:
    finetune = ("rounds=1", "evaluation.finetune=2", "evaluation.per_client=true")
    run = fedlit.federate(Net(), datasets(), *WORDS, *finetune, *variant.split())
    test = run.partition["test"]
    assert sorted(np.concatenate(test).tolist()) == list(range(30))
    said = [run.clients.loc[(1, client), "used/accuracy"] for client in range(2)]
    assert [correct(run.personal(client), test[client]) for client in range(2)] == pytest.approx(said)
    assert not torch.equal(run.personal(0).head.weight, run.module().head.weight)


def test_objects_and_words_that_do_not_go_together_are_refused() -> None:
    x, y = torch.ones(2, 4), torch.ones(2)
    for refused, sentence in (
        (lambda: fedlit.federate(Net, Data()), r"module=Net is a class; give an object of it, Net\(...\)"),
        (lambda: fedlit.federate(Net(), Data), "data=Data is a class"),
        (lambda: fedlit.federate(Net(), Data(), aggregator=Half), "aggregator=Half is a class"),
        (lambda: fedlit.federate(nn.Linear(1, 1), Data()), "inherits from LightningModule"),
        (lambda: fedlit.federate(Net().to("meta"), Data()), "weights on the device meta"),
        (lambda: fedlit.federate(Net(activation=(i for i in "ab")), Data()), "this Net cannot be copied"),
        (lambda: fedlit.federate(Net(), [1]), "data is an object of type list"),
        (lambda: fedlit.federate("clients=3", Data()), "module is an object of type str"),
        (lambda: fedlit.federate(Net(), "data=digits"), "data is an object of type str"),
        (lambda: fedlit.federate(Net(), (x, y)), "write TensorDataset"),
        (lambda: fedlit.federate(Net(), ((x, y), (x, y))), "write TensorDataset"),
        (lambda: fedlit.federate(Net(), (DataLoader([1]), [1])), "give its data set, <loader>.dataset"),
        (lambda: fedlit.federate(Net(), Data(), "model=mlp"), "model=mlp: federate has an object in this place"),
        (lambda: fedlit.federate(Net(), Data(), "~data"), "~data: federate has an object in this place"),
        (lambda: fedlit.federate(Net(), Data(), "aggregator.step=1", aggregator=Half()), "step=1: federate has"),
        (lambda: fedlit.federate(Net(), Data(), "+model.lr=1"), r"\+model.lr=1: federate has an object in this place"),
        (lambda: fedlit.federate(Net(), Data(), "++model.digest=d3"), "digest=d3: federate has an object"),
        (lambda: fedlit.federate(Net(), Data(), "data@data=mnist"), "data@data=mnist: federate has an object"),
        (lambda: fedlit.federate(Net(), Data(), "data.root=x"), "data.root=x: federate has an object in this place"),
        (lambda: fedlit.federate(Net(), Data(), {"clients": 3}), "this is an object of type dict"),
    ):
        with pytest.raises(InputError, match=sentence):
            refused()


def test_what_a_run_reads_of_data_may_be_set_beside_an_object(in_folder: Path) -> None:
    words = ("rounds=1", "data.public=5", "+data.target=1", "aggregator.mu=0.5")
    run = fedlit.federate(Net(), datasets(), *WORDS, *words, "aggregator=fedprox")
    assert sum(len(samples) for samples in run.partition["train"]) == 60 - 5


def test_two_floating_point_types_are_refused_before_work(in_folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"weights of Net are torch.float64, and the inputs of Datasets are torch.float32"
    ):
        fedlit.federate(Net().double(), datasets(), *WORDS)


class Converting(Net):
    """A hook converts the inputs."""

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch[0].double(), batch[1]


@pytest.mark.slow
def test_a_hook_may_convert_the_inputs(in_folder: Path) -> None:
    run = fedlit.federate(Converting().double(), datasets(), *WORDS, "rounds=1")
    assert run.module().head.weight.dtype == torch.float64


@pytest.mark.slow
def test_a_precision_of_64_bits_converts_both(in_folder: Path) -> None:
    run = fedlit.federate(Net().double(), datasets(), *WORDS, "rounds=1", "trainer.precision=64-true")
    assert run.module().head.weight.dtype == torch.float64
    assert correct(run.module().float()) == run.metrics["global/test/accuracy"].iloc[-1]


@pytest.mark.slow
def test_lazy_layers_are_made_in_the_run(in_folder: Path) -> None:
    class Lazy(Net):
        def __init__(self, seed: int = 3) -> None:
            super().__init__(seed=seed)
            self.body = nn.LazyLinear(6)

    net = Lazy()
    run = fedlit.federate(net, datasets(), *WORDS, "rounds=1")
    loaded = fedlit.load(run.folder, Lazy(seed=4), datasets())
    for module in (run.module(), loaded.module()):
        assert correct(module) == run.metrics["global/test/accuracy"].iloc[-1]
    assert isinstance(net.body, nn.LazyLinear)
