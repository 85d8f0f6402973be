"""Layers that are frozen when a module is made and trained in a fit, or frozen in a fit: as on a plain Trainer."""

from __future__ import annotations

import copy
import logging
import random
import sys
import warnings
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import BackboneFinetuning
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from fedlit.aggregators import FedProx
from fedlit.client import Fitted
from fedlit.data import TensorSamples
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.round import Round
from fedlit.training import Job, JobData
from fedlit.training.lightning import LightningTrainer
from fedlit.training.module_host import ModuleHost
from fedlit.training.stacked import VectorizedTrainer
from fedlit.user_module.module_snapshot import counters
from tests.aggregators.federations import Running
from tests.slow import some_slow

WIDTH, CLASSES, EPOCHS = 6, 3, 3


class Net(pl.LightningModule):
    """`backbone` is frozen in `__init__`; `thaw(place)` is called in every place that can unfreeze it."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = nn.Linear(WIDTH, 5), nn.Linear(5, CLASSES)
        self.backbone.requires_grad_(False)

    def thaw(self, place: str) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.backbone(x)))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.thaw("training_step")
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self) -> Any:
        self.thaw("configure_optimizers")
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)


def in_a_place(hook: str, epoch: int | None = None) -> type[Net]:
    """A Net that unfreezes its backbone in a hook, in an epoch."""

    class Thawing(Net):
        def thaw(self, place: str) -> None:
            if place == hook and (epoch is None or self.current_epoch == epoch):
                self.backbone.requires_grad_(True)

    if hook not in ("training_step", "configure_optimizers"):
        setattr(Thawing, hook, lambda self, *args, **options: self.thaw(hook))
    return Thawing


class AddsAGroup(Net):
    """Its optimiser gets the backbone when it is unfrozen."""

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.head.parameters(), lr=0.1, momentum=0.9)

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1:
            self.backbone.requires_grad_(True)
            self.optimizers().add_param_group({"params": list(self.backbone.parameters()), "lr": 0.02})


class Finetuned(Net):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=0.1, momentum=0.9)

    def configure_callbacks(self) -> Any:
        return [BackboneFinetuning(unfreeze_backbone_at_epoch=1, lambda_func=lambda epoch: 1.5, verbose=False)]


class FrozenLater(Net):
    """Trained in the first epoch only."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone.requires_grad_(True)

    def on_train_epoch_start(self) -> None:
        if self.current_epoch == 1:
            self.backbone.requires_grad_(False)


class FrozenInTheOptimizer(Net):
    """The way out of the refusal: unfrozen in `__init__`, frozen in configure_optimizers, unfrozen after any step."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone.requires_grad_(True)

    def configure_optimizers(self) -> Any:
        self.backbone.requires_grad_(False)
        return super().configure_optimizers()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self.backbone.requires_grad_(self.global_step > 1)


THAWED: dict[str, Callable[[], pl.LightningModule]] = {
    "setup": in_a_place("setup"),
    "configure_optimizers": in_a_place("configure_optimizers"),
    "on_fit_start": in_a_place("on_fit_start"),
    "on_train_start": in_a_place("on_train_start"),
    "on_train_epoch_start, first": in_a_place("on_train_epoch_start", 0),
    "on_train_epoch_start, last": in_a_place("on_train_epoch_start", 2),
    "on_train_epoch_end": in_a_place("on_train_epoch_end", 0),
    "on_train_batch_start": in_a_place("on_train_batch_start", 1),
    "training_step": in_a_place("training_step"),
    "training_step, second epoch": in_a_place("training_step", 1),
    "a new parameter group": AddsAGroup,
    "a callback": Finetuned,
    "frozen later": FrozenLater,
    "frozen in configure_optimizers": FrozenInTheOptimizer,
}
WITHOUT_HOOKS = ["configure_optimizers", "training_step", "training_step, second epoch"]


def data() -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(20, WIDTH, dtype=torch.float64), torch.arange(20) % CLASSES


def made(make: Callable[[], pl.LightningModule]) -> pl.LightningModule:
    torch.manual_seed(0)
    return make()


def jobs() -> list[Job]:
    return [Job(c, Round(1, 0, [0, 1], 2), 4, EPOCHS, part) for c, part in enumerate(np.split(np.arange(20), [12]))]


def fits(make: Callable[[], pl.LightningModule], kind: Any = LightningTrainer, **options: Any) -> tuple[Any, Any]:
    """The fits of two clients, one after the other, and the worker's host."""
    samples = TensorSamples(*data())
    fit = {name: options.pop(name) for name in ("adjust_gradient", "gradient_fn") if name in options}
    trainer = kind(accelerator="cpu", precision="64-true", **options)
    worker = trainer.worker(made(make), JobData(samples, samples, epochs=EPOCHS), Measure())
    start, counts = worker.host.layout.read(worker.host.module), counters(worker.host.module)
    results: list[Fitted] = []
    for rows in worker.chunks(jobs()):
        results.append(worker.client(jobs()[rows], counts, [{}] * len(jobs()[rows])).fit(start, **fit))
    return results, worker.host


def plain(make: Callable[[], pl.LightningModule], job: Job) -> dict[str, Tensor]:
    """All parameters after a fit on a Lightning Trainer of its own, with the client's batches."""

    class Epochs:
        def __init__(self) -> None:
            self.epoch = -1

        def __len__(self) -> int:
            return len(job.batches(0, 0, False))

        def __iter__(self) -> Any:
            self.epoch += 1  # at the first batch: Lightning makes iterators that it never uses
            order = job.batches(0, self.epoch, False)
            yield from DataLoader(TensorDataset(*data()), batch_sampler=[b.tolist() for b in order])

    module = made(make)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        precision="64-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        barebones=False,
    )
    trainer.fit(module, Epochs())  # type: ignore[arg-type]
    return {n: p.detach().clone() for n, p in module.named_parameters()}


def assert_trained(fitted: Fitted, row: int, host: Any, expected: dict[str, Tensor]) -> None:
    named = {n: t[row] for n, t in host.layout.pieces(fitted.model.weights).items()}
    initial = dict(made(Net).double().named_parameters())
    changed = {n for n, value in expected.items() if not torch.equal(value, initial[n])}
    assert changed == set(named), "what a plain Trainer trains is what is sent"
    for name, value in named.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", THAWED)
def test_a_thawed_layer_is_trained_as_on_a_plain_trainer(name: str) -> None:
    results, host = fits(THAWED[name])
    for fitted, job in zip(results, jobs(), strict=True):
        assert_trained(fitted, 0, host, plain(THAWED[name], job))
    frozen = {n for n, p in host.module.named_parameters() if not p.requires_grad}
    assert frozen == set() if "frozen" in name else {"backbone.weight", "backbone.bias"}


@pytest.mark.parametrize("stack", some_slow(["always", "never"], ["always"]))
@pytest.mark.parametrize("name", WITHOUT_HOOKS)
def test_a_thawed_layer_under_the_vectorized_trainer(name: str, stack: str) -> None:
    results, host = fits(THAWED[name], VectorizedTrainer, stack=stack)
    rows = [(fitted, r) for fitted in results for r in range(len(fitted.steps))]
    for (fitted, row), job in zip(rows, jobs(), strict=True):
        assert_trained(fitted, row, host, plain(THAWED[name], job))


@pytest.mark.parametrize(
    "name", ["setup", "on_train_epoch_start, first", "training_step", "frozen later", "a callback"]
)
def test_algorithms_on_gradients_of_thawed_layers(name: str) -> None:
    """The plain gradient, by an adjustment and by a `gradient_fn`, gives the plain fit."""

    def gradient_fn(step: Any, w: Tensor) -> Tensor:
        return torch.autograd.grad(step.loss(w).sum(), w)[0]

    for options in ({"adjust_gradient": lambda g, w: g}, {"gradient_fn": gradient_fn}):
        results, host = fits(THAWED[name], **options)
        for fitted, job in zip(results, jobs(), strict=True):
            assert_trained(fitted, 0, host, plain(THAWED[name], job))


def test_a_layer_that_no_fit_thaws_is_not_sent() -> None:
    for make in (Net, in_a_place("on_train_epoch_start", EPOCHS), in_a_place("on_fit_end")):
        _, host = fits(make)
        assert set(host.layout.weights) == {"head.weight", "head.bias"}


def test_a_thawed_layer_without_an_optimiser_is_not_sent() -> None:
    class NeverStepped(in_a_place("on_train_epoch_start", 1)):  # type: ignore[misc]
        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.head.parameters(), lr=0.1)

    results, host = fits(NeverStepped)
    assert set(host.layout.weights) == {"head.weight", "head.bias"}
    assert_trained(results[0], 0, host, plain(NeverStepped, jobs()[0]))


@pytest.mark.parametrize("place", ["on_train_batch_start", "training_step"])
@pytest.mark.parametrize("kind", [LightningTrainer, VectorizedTrainer])
def test_a_layer_that_the_trial_does_not_see_thawed_is_refused_in_one_sentence(place: str, kind: Any) -> None:
    """The trial has one batch in each epoch. The sentence's way out is the case "frozen in configure_optimizers"."""

    class Later(Net):
        def thaw(self, at: str) -> None:
            if at == place and self.trainer.global_step == 4:
                self.backbone.requires_grad_(True)

        if place == "on_train_batch_start":

            def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
                self.thaw("on_train_batch_start")

    expected = r"Later trains backbone\.(weight|bias), which was frozen.*freeze it in configure_optimizers\."
    if kind is VectorizedTrainer and place == "on_train_batch_start":
        expected = "a hook of its own, on_train_batch_start"
    with pytest.raises(InputError, match=expected) as caught:
        fits(Later, kind)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["setup", "on_train_epoch_start, last"])
def test_thawed_layers_are_averaged_and_counted(name: str, tmp_path: Any) -> None:
    run = Running(tmp_path, FedProx(mu=0.1), net=made(THAWED[name]), epochs=EPOCHS).go(2)
    assert run.layout.size == sum(p.numel() for p in Net().parameters())
    before, after = run.layout.named(run.start), run.named()
    assert all(float((after[n] - before[n]).abs().max()) > 1e-4 for n in before)
    assert run.rows[0]["comm/bytes_up"] == 4 * run.layout.size * 8


def test_the_module_of_the_user_is_not_trained_by_the_trial() -> None:
    module = made(THAWED["on_fit_start"]).double()
    before = {n: t.clone() for n, t in module.state_dict().items()}
    samples = TensorSamples(*data())
    state = torch.get_rng_state()
    LightningTrainer(accelerator="cpu", precision="64-true").worker(module, JobData(samples, samples), Measure())
    assert all(torch.equal(t, before[n]) for n, t in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(p.requires_grad for p in module.backbone.parameters())  # type: ignore[union-attr]


class Prints(pl.Callback):
    """Counts, prints, logs, warns and draws in each epoch."""

    epochs = 0

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.epochs += 1
        print("printed")
        print("printed", file=sys.stderr)
        logging.getLogger("a user's").error("logged")
        warnings.warn("warned", stacklevel=1)
        torch.rand(1), np.random.rand(), random.random()


class WithFile(Prints):
    """It cannot be copied as a whole."""

    def __init__(self) -> None:
        self.file = open(__file__)  # noqa: SIM115


class Reads(TensorSamples):
    """Counts the samples that are read."""

    reads = 0

    def batch(self, index: Any, key: int = 0) -> Any:
        self.reads += len(index)
        return super().batch(index, key)

    def to(self, device: Any) -> Any:
        return self


@pytest.mark.parametrize("callback", [Prints, WithFile])
def test_the_trial_leaves_no_trace(callback: Any, capfd: Any, caplog: Any, recwarn: Any) -> None:
    noted, samples = callback(), TensorSamples(*data())
    trainer = LightningTrainer(accelerator="cpu", precision="64-true", options={"callbacks": [noted]})
    module = made(in_a_place("on_train_epoch_end", 1)).double()
    states = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index, union-attr]
    host = trainer.worker(module, JobData(samples, samples, epochs=EPOCHS), Measure()).host  # type: ignore[arg-type]
    assert "backbone.weight" in host.layout.weights, "the trial ran"
    assert noted.epochs == 0
    printed = capfd.readouterr()
    assert not printed.out and not printed.err
    assert not [r for r in caplog.records if r.message == "logged"] and logging.root.manager.disable == 0
    assert not [w for w in recwarn if "warned" in str(w.message)]
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[2]
    assert np.random.get_state()[1].tolist() == states[1]  # type: ignore[index, union-attr]


@pytest.mark.parametrize("frozen", [True, False])
def test_the_trial_reads_a_few_samples_once_and_none_without_frozen_parameters(frozen: bool) -> None:
    module, counts = made(Net).double(), []
    module.backbone.requires_grad_(not frozen)  # type: ignore[union-attr]
    for thawed in (None, frozenset()):  # None: by a trial
        samples = Reads(*data())
        trainer = LightningTrainer(accelerator="cpu", precision="64-true")
        ModuleHost(trainer, copy.deepcopy(module), JobData(samples, samples, epochs=9), Measure(), thawed)
        counts.append(samples.reads)
    assert counts[0] - counts[1] == (4 if frozen else 0)


def test_the_trial_ends_when_all_parameters_are_thawed() -> None:
    epochs = []

    class Noted(in_a_place("on_train_epoch_start", 2)):  # type: ignore[misc]
        def on_train_epoch_end(self) -> None:
            epochs.append(self.current_epoch)

    samples = TensorSamples(*data())
    LightningTrainer(accelerator="cpu", precision="64-true").worker(
        made(Noted), JobData(samples, samples, epochs=12), Measure()
    )
    assert epochs == [0, 1, 2]


def test_a_trial_that_fails_does_not_end_the_run() -> None:
    class Fails(Net):
        def on_fit_start(self) -> None:
            if len(self.trainer.train_dataloader or self.trainer.datamodule.train_dataloader()) < 2:  # type: ignore[attr-defined]
                raise ZeroDivisionError("a batch alone")

    results, host = fits(Fails)
    assert_trained(results[0], 0, host, plain(Net, jobs()[0]))
