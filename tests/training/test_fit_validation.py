"""A client's fit validates where a scheduler or a callback follows a validation metric: as a plain Trainer does."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Any, ClassVar

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from fedlit.client import Fitted
from fedlit.clients import Clients
from fedlit.data import TensorSamples
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.partitions import Shards
from fedlit.round import Round
from fedlit.training import Job, JobData
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from fedlit.user_module.module_snapshot import counters
from tests.slow import some_slow
from tests.training.validating_modules import (
    WIDTH,
    Best,
    Early,
    LoggedByAHook,
    LowersTheRate,
    MonitorOutside,
    NeedsATrainer,
    Net,
    Plateau,
    PlateauByStep,
    StepsByHand,
    StopsByHand,
    WeighsByLoader,
    WithIndex,
)

EPOCHS, BATCH = 4, 4
NOTHING = "clients have no validation samples; write evaluation.client_validation=0.2"


Case = tuple[Callable[[], pl.LightningModule], dict[str, Any]]
CASES: dict[str, Case] = {
    "plateau": (Plateau, {}),
    "plateau by step": (PlateauByStep, {"val_check_interval": 3, "check_val_every_n_epoch": None}),
    "the monitor outside": (MonitorOutside, {}),
    "an optimiser that needs a trainer": (NeedsATrainer, {}),
    "a metric logged by a hook": (LoggedByAHook, {}),
    "early stopping": (Early, {}),
    "early stopping by an option": (
        Net,
        {"callbacks": lambda: [EarlyStopping("val_mse", patience=1, min_delta=0.3, check_on_train_epoch_end=False)]},
    ),
    "the best weights": (Best, {}),
    "a hook that stops": (StopsByHand, {}),
    "a scheduler that is stepped by hand": (StepsByHand, {}),
    "a hook that lowers the rate": (LowersTheRate, {}),
    "a step that reads the validation loader": (WeighsByLoader, {}),
    "every second epoch": (LowersTheRate, {"check_val_every_n_epoch": 2}),
    "twice an epoch": (LowersTheRate, {"val_check_interval": 0.5}),
    "one batch": (Plateau, {"limit_val_batches": 1}),
}
QUICK = ["plateau", "early stopping", "the best weights"]


def data() -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(40, WIDTH)))
    return x, (x[:, :1] * 2 - x[:, 1:2]).sin() + torch.from_numpy(rng.normal(size=(40, 1)))


def jobs(number: int = 1) -> list[Job]:
    parts = np.split(np.arange(40), [12, 18, 30, 35])
    round = Round(number, 0, [0, 1], 2)
    return [Job(c, round, BATCH, EPOCHS, parts[2 * c], parts[2 * c + 1]) for c in range(2)]


def made(make: Callable[[], pl.LightningModule]) -> pl.LightningModule:
    torch.manual_seed(0)
    return make()


def worker(
    make: Callable[[], pl.LightningModule], kind: Any = LightningTrainer, missing: str = "", **options: Any
) -> Any:
    samples = TensorSamples(*data())
    trainer = kind(accelerator="cpu", precision="64-true", **options)
    worker = trainer.worker(made(make), JobData(samples, samples, epochs=EPOCHS, no_validation=missing), Measure())
    worker.start = worker.host.layout.read(worker.host.module)
    return worker


def with_callbacks(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value() if name == "callbacks" else value for name, value in options.items()}


def fits(worker: Any, order: tuple[int, ...] = (0, 1), **options: Any) -> tuple[dict[int, Fitted], dict[int, Any]]:
    """The fits of clients, one after the other, and what was noted of them."""
    counts = counters(worker.host.module)
    results, facts = {}, {}
    for client in order:
        chunk = worker.client([jobs()[client]], counts, [{}])
        results[client], facts[client] = chunk.fit(worker.start, **options), chunk.facts[0]
    return results, facts


class Training:
    """The batches of each epoch in order."""

    def __init__(self, job: Job):
        self.job, self.epoch = job, -1

    def __len__(self) -> int:
        return len(self.job.batches(0, 0, False))

    def __iter__(self) -> Any:
        self.epoch += 1
        order = self.job.batches(0, self.epoch, False)
        yield from DataLoader(TensorDataset(*data()), batch_sampler=[b.tolist() for b in order])


class Recorder(pl.Callback):
    """Counts on a plain Trainer."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])


def plain(make: Callable[[], pl.LightningModule], options: dict[str, Any], job: Job, folder: Any) -> tuple[Any, Any]:
    """The weights after a fit on a Trainer of its own, and its rates. Draws are left out: no dropout."""
    module, recorder = made(make), Recorder()
    for layer in module.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    validation = DataLoader(TensorDataset(*(t[job.validation] for t in data())), BATCH)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        precision="64-true",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **{**options, "callbacks": [*options.get("callbacks", []), recorder]},
    )
    trainer.fit(module, Training(job), validation)  # type: ignore[arg-type]
    return torch.cat([p.detach().flatten() for p in module.parameters()]), recorder.rates


def without_dropout(make: Callable[[], pl.LightningModule]) -> Callable[[], pl.LightningModule]:
    def module() -> pl.LightningModule:
        net = make()
        net.net[1].p = 0.0  # type: ignore[index,operator,union-attr]
        return net

    return module


@pytest.mark.parametrize("name", some_slow(CASES, QUICK))
def test_a_fit_validates_as_a_plain_trainer(name: str, tmp_path: Any) -> None:
    make, options = CASES[name]
    results, facts = fits(worker(without_dropout(make), options=with_callbacks(options)))
    for client, fitted in results.items():
        expected, rates = plain(make, with_callbacks(options), jobs()[client], tmp_path / str(client))
        torch.testing.assert_close(fitted.model.weights[0], expected, rtol=0, atol=1e-12)
        assert fitted.steps.item() == len(rates) and fitted.lr.item() == pytest.approx(sum(rates))
        assert "skipped" not in facts[client] or facts[client]["skipped"] == 0
    unvalidated, _ = fits(worker(without_dropout(Net)))
    assert any(not torch.equal(results[c].model.weights, unvalidated[c].model.weights) for c in results)


def test_a_required_dataloader_idx_is_0() -> None:
    results, _ = fits(worker(WithIndex))
    expected, _ = fits(worker(Plateau))
    assert all(torch.equal(results[c].model.weights, expected[c].model.weights) for c in results)


def test_validation_changes_no_draw_and_no_order_of_training() -> None:
    class Draws(Net):
        """Draws in training and in validation, in the step and in hooks."""

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            return super().training_step(batch, batch_idx) * (1 + random.random() + torch.rand(()))

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            random.random(), np.random.rand(), torch.rand(3)
            super().validation_step(batch, batch_idx)

        def on_train_epoch_start(self) -> None:
            self.net[0].weight.data.mul_(1 + 0.01 * np.random.rand() + 0.01 * random.random())  # type: ignore[index,union-attr,operator]

    silent, _ = fits(worker(Draws))
    validated = worker(Draws, options={"limit_val_batches": 1.0})
    assert validated.validates
    for order in ((0, 1), (1, 0)):
        results, _ = fits(validated, order)
        assert all(torch.equal(results[c].model.weights, silent[c].model.weights) for c in results)


def test_draws_of_validation_are_those_of_the_client_alone() -> None:
    class Noisy(Plateau):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            noise = torch.rand(()) + random.random()
            self.log("val_mse", F.mse_loss(self.net(batch[0]), batch[1]) * noise)

    together, _ = fits(worker(Noisy), (1, 0))
    alone = {c: fits(worker(Noisy), (c,))[0][c] for c in (0, 1)}
    assert all(torch.equal(together[c].model.weights, alone[c].model.weights) for c in alone)


def test_values_of_validation_are_not_among_those_of_training() -> None:
    class Both(Plateau):
        """`loss` is a value by step of training, and a mean of validation."""

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            loss = super().training_step(batch, batch_idx)
            self.log("loss", loss)
            return loss

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            super().validation_step(batch, batch_idx)
            self.log("loss", -1.0)

    _, facts = fits(worker(Both))
    for of_client in facts.values():
        assert set(of_client["logged"]) == {"train_mse", "loss"}
        assert of_client["logged"]["loss"] > 0


@pytest.mark.parametrize("make", [Net, LoggedByAHook])
def test_a_fit_that_follows_nothing_has_no_validation_pass(make: Any) -> None:
    class Counted(make):  # type: ignore[misc]
        calls: ClassVar[list[int]] = []

        def validation_step(self, batch: Any, batch_idx: int) -> None:
            self.calls.append(0)
            super().validation_step(batch, batch_idx)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    trained = worker(Counted)
    Counted.calls.clear()  # of a trial
    fits(trained)
    assert not trained.validates and not Counted.calls


def refused(match: str, make: Any, **options: Any) -> None:
    with pytest.raises(InputError, match=match) as caught:
        worker(make, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [Plateau, MonitorOutside, NeedsATrainer, LoggedByAHook, Early])
def test_a_validation_metric_without_validation_samples_is_refused(make: Any) -> None:
    refused("follows val_mse, .*evaluation.client_validation=0.2", make, missing=NOTHING)


def test_a_metric_that_nothing_logs_is_refused() -> None:
    class Typo(Plateau):
        options: ClassVar[dict[str, Any]] = {"monitor": "val_msee"}

    refused("follows val_msee, and a fit logs train_mse, val_mse;", Typo)
    refused("ReduceLROnPlateau follows val_msee", Typo, kind=VectorizedTrainer)
    refused("EarlyStopping follows x", Net, options={"callbacks": [EarlyStopping("x")]})


def test_what_is_not_strict_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    class Lenient(Plateau):
        options: ClassVar[dict[str, Any]] = {"strict": False}

    class Saves(Net):
        def configure_callbacks(self) -> Any:
            return [ModelCheckpoint(monitor="val_mse")]

    for make in (Lenient, Saves, StopsByHand):
        caplog.clear()
        fits(worker(make, missing=NOTHING))
        (record,) = [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert "evaluation.client_validation=0.2" in record.getMessage()


def test_the_vectorized_trainer_refuses_a_validation_metric() -> None:
    refused("trainer=lightning evaluation.client_validation=0.2", Plateau, kind=VectorizedTrainer, missing=NOTHING)
    refused("follows val_mse.*trainer=lightning.$", Plateau, kind=VectorizedTrainer)
    refused("a hook of a validation pass changes.*trainer=lightning", LowersTheRate, kind=VectorizedTrainer)


def test_options_of_validation_without_samples_are_refused() -> None:
    refused(
        "check_val_every_n_epoch=2 asks.*client_validation=0.2",
        Net,
        missing=NOTHING,
        options={"check_val_every_n_epoch": 2},
    )
    refused("limit_val_batches=0", Plateau, options={"limit_val_batches": 0})
    with pytest.raises(InputError, match="val_check_interval=00:00:01:00.*number of batches"):
        LightningTrainer(options={"val_check_interval": "00:00:01:00"})
    interval = worker(Plateau, options={"val_check_interval": 4})
    with pytest.raises(InputError, match="val_check_interval=4: client 0 has 3 batches"):
        fits(interval)


def test_a_client_without_validation_samples_is_named() -> None:
    train, none = Shards(np.arange(9), np.array([0, 8, 9, 9])), np.empty(0, dtype=np.int64)
    some = Shards(np.arange(2), np.array([0, 2, 2, 2]))
    assert "client 1, with 1 training sample, has none" in Clients(train, some, some, 4, 1, none).no_validation
    empty = Shards(none, np.zeros(4, np.int64))
    assert Clients(train, empty, some, 4, 1, none).no_validation == NOTHING
    pooled = Clients(Shards(np.arange(9), np.array([0, 9])), some, some, 4, 1, none)
    assert pooled.no_validation == "" and len(pooled.jobs(Round(1, 0, [0], 1))[0].validation) == 2
