"""Layers that setup, configure_model or a first batch makes: once, before the run, with the same weights everywhere."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedlit.data import TensorSamples
from fedlit.engines.worker_process import WorkerSetup
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.models.optimizer import make_optimizer
from fedlit.training import JobData
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.slow import some_slow
from tests.small_runs import command, same_bits, saved


class Net(pl.LightningModule):
    def __init__(self, **ignored: Any) -> None:
        super().__init__()
        self.net: Any = None
        self.calls: list[str] = []

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flatten(1))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.calls.append("step")
        return F.cross_entropy(self(batch[0]), batch[1])


class Lazy(Net):
    def __init__(self, input_shape: Any = None, classes: int = 3) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.Dropout(0.2), nn.Linear(8, classes))


class InSetup(Net):
    """Draws in every call; only the first call's layers are used."""

    def setup(self, stage: str) -> None:
        self.net = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 10))


def host_of(module: Any, kind: Any = LightningTrainer, **options: Any) -> Any:
    module.configure_optimizers = lambda: torch.optim.SGD(module.parameters(), 0.1)
    samples = TensorSamples(torch.randn(12, 5, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3)
    return kind(accelerator="cpu", **options).worker(module, JobData(samples, samples), Measure()).host


def made(make: Any, seed: int = 3) -> Any:
    torch.manual_seed(seed)
    return make()


def test_lazy_layers_get_their_shapes_and_nothing_else_changes() -> None:
    module = host_of(made(Lazy)).module
    linear, norm = module.net[0], module.net[1]
    assert type(linear) is nn.Linear and type(norm) is nn.BatchNorm1d
    assert (linear.in_features, tuple(linear.weight.shape), norm.num_features) == (5, (8, 5), 8)
    assert torch.equal(norm.running_mean, torch.zeros(8)) and torch.equal(norm.running_var, torch.ones(8))
    assert norm.num_batches_tracked == 0 and module.calls == [] and all(p.grad is None for p in module.parameters())
    assert all(m.training for m in module.modules())
    assert not linear._forward_pre_hooks and not norm._forward_pre_hooks


@pytest.mark.parametrize("make", [Lazy, InSetup])
def test_both_trainers_make_the_same_layers(make: Any) -> None:
    first, second = (host_of(made(make), kind) for kind in (LightningTrainer, VectorizedTrainer))
    other = host_of(made(make, seed=4))
    weights = [host.layout.read(host.module).weights for host in (first, second, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


class NeverCalled(Lazy):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.LazyLinear(3)


class Raises(Lazy):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        raise ValueError("no such batch")

    forward = training_step  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("make", "reason"), [(NeverCalled, r"other\.weight"), (Raises, r"net\.0\.weight.*no such batch")]
)
@pytest.mark.parametrize("kind", [LightningTrainer, VectorizedTrainer])
def test_a_layer_that_stays_without_shape_is_refused_in_one_sentence(make: Any, reason: str, kind: Any) -> None:
    with pytest.raises(InputError, match=rf"{make.__name__}: {reason}.*training_step call it\.") as caught:
        host_of(made(make), kind)
    assert "\n" not in str(caught.value)


class OnlyInValidation(Lazy):
    """Manual optimisation: its step would train."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        raise AssertionError("the step ran")


def test_a_step_that_trains_by_itself_does_not_run() -> None:
    torch.manual_seed(0)
    module: Any = OnlyInValidation()
    assert type(host_of(module).module.net[0]) is nn.Linear


class Hooks(Net):
    """Notes its hooks and what they find."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(5, 3)

    def prepare_data(self) -> None:
        self.calls.append("prepare_data")

    def setup(self, stage: str) -> None:
        trainer = self.trainer
        facts = len(trainer.train_dataloader), trainer.max_epochs, trainer.estimated_stepping_batches
        self.calls.append(f"setup {stage} {facts} {self.device} {trainer.datamodule is not None}")

    def configure_model(self) -> None:
        self.calls.append(f"configure_model {len(self.trainer.train_dataloader)}")


def test_the_hooks_run_once_in_the_order_of_a_trainer_with_its_facts() -> None:
    module = host_of(made(Hooks)).module
    assert module.calls == ["prepare_data", "setup fit (1, 1, 1) cpu True", "configure_model 1"]


@pytest.mark.parametrize("make", [Lazy, InSetup])
def test_a_worker_process_makes_the_layers_of_the_main_process(make: Any) -> None:
    """Its generators get the states of the main process, whatever it has drawn before."""
    module = made(make)
    module.configure_optimizers = partial(make_optimizer, module, partial(torch.optim.SGD, lr=0.1))
    samples = TensorSamples(torch.randn(12, 5, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3)
    data, trainer = JobData(samples, samples), LightningTrainer(accelerator="cpu")
    setup = WorkerSetup.of(trainer, module, data, Measure(), None)
    host = trainer.worker(module, data, Measure()).host
    torch.manual_seed(77)
    of_worker = setup.worker(data, None).host
    assert torch.equal(host.layout.read(host.module).weights, of_worker.layout.read(of_worker.module).weights)


# --- whole runs -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "aggregator", "trainer"),
    some_slow(
        [
            (name, aggregator, trainer)
            for name in ("Lazy", "InSetup")
            for aggregator in ("fedavg", "fedprox", "fedper")
            for trainer in ("lightning", "vectorized")
        ],
        [],
    ),
)
def test_processes_and_a_resumed_run_make_the_same_layers(
    name: str, aggregator: str, trainer: str, tmp_path: Path
) -> None:
    words = [f"model._target_=tests.training.test_made_layers.{name}", f"aggregator={aggregator}", f"trainer={trainer}"]
    words += ["clients=3", "threads=1", "device=cpu", "progress=none", "local_epochs=1", "logger=none"]
    assert command(*words, "rounds=2", f"hydra.run.dir={tmp_path / 'serial'}") == 0
    processes = ["engine=processes", "engine.workers=2", f"hydra.run.dir={tmp_path / 'processes'}"]
    assert command(*words, "rounds=2", *processes) == 0
    assert command(*words, "rounds=1", f"hydra.run.dir={tmp_path / 'resumed'}") == 0
    assert command(f"resume={tmp_path / 'resumed'}", "rounds=2") == 0
    states = [saved(tmp_path / run, 2) for run in ("serial", "processes", "resumed")]
    assert same_bits(states[0], states[1]) and same_bits(states[0], states[2])
