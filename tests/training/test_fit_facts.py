"""What a module reads of its Trainer in a fit: the user's data module, the client's loader, a logger.

Expected values are counted by hand: clients of 10, 7 and 4 samples in batches of 4.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from fedlit.data import adopt
from fedlit.data.fit_data_module import CannotBeSent, with_hooks_of
from fedlit.engines.processes import _pack_data
from fedlit.engines.serialization import unpack
from fedlit.errors import InputError
from fedlit.evaluation.measure import Measure
from fedlit.notices import begin_run
from fedlit.training import Job, JobData
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from fedlit.user_module.module_snapshot import counters
from tests.training.module_kinds.case import Plain, classes, loss_of
from tests.training.test_module_kinds import jobs

BATCHES, SAMPLES = {0: 3, 1: 2, 2: 1}, {0: 10, 1: 7, 2: 4}
BOTH = [(LightningTrainer, {}), (VectorizedTrainer, {"stack": "always"}), (VectorizedTrainer, {"stack": "never"})]


class Vectors(pl.LightningDataModule):
    """A user's data module: its own loader has six batches."""

    def __init__(self, width: int = 6):
        super().__init__()
        self.save_hyperparameters()
        x = torch.randn(21, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        self.samples, self.calls = TensorDataset(x, classes()), 0
        self.tested = TensorDataset(x.clone(), classes())

    def setup(self, stage: str) -> None:
        self.calls += 1

    def train_dataloader(self) -> Any:
        return DataLoader(self.samples, 4, shuffle=True)

    def test_dataloader(self) -> Any:
        return DataLoader(self.tested, 4)


def fitted(
    kind: Any, module: pl.LightningModule, users: Any = None, epochs: int = 2, validation: Any = (), **options: Any
) -> Any:
    """The logged values of one round, by client. `validation` are the validation samples of each client."""
    source = adopt(users or Vectors())
    worker = kind(accelerator="cpu", precision="64-true", **options).worker(
        module, JobData(source.train, source.test, users=source.users), Measure()
    )
    cohort = [replace(job, validation=np.array(validation, np.int64)) for job in jobs(1, epochs)]
    cuts = list(worker.chunks(cohort))
    start, integers = worker.host.layout.read(worker.host.module), counters(worker.host.module)
    chunks = [worker.client(cohort[cut], integers, [{}] * len(cohort[cut])) for cut in cuts]
    for chunk in chunks:
        chunk.fit(start)
    return {facts["client"]: facts.get("logged", {}) for chunk in chunks for facts in chunk.facts}, worker


def reads(**facts: Any) -> type[Plain]:
    """A module that logs these facts, functions of the module."""

    class Reads(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            for name, fact in facts.items():
                self.log(name, float(fact(self)))
            return loss_of(self, batch)

    return Reads


@pytest.mark.parametrize(("kind", "options"), BOTH)
def test_the_loaders_are_those_of_the_client(kind: Any, options: Any) -> None:
    module = reads(
        loader=lambda self: len(self.trainer.train_dataloader),
        of_data=lambda self: len(self.trainer.datamodule.train_dataloader()),
        batches=lambda self: self.trainer.num_training_batches,
        steps=lambda self: self.trainer.estimated_stepping_batches,
        is_users=lambda self: isinstance(self.trainer.datamodule, Vectors),
        width=lambda self: self.trainer.datamodule.hparams.width,
    )
    logged, worker = fitted(kind, module(), **options)
    for client, batches in BATCHES.items():
        expected = {"loader": batches, "of_data": batches, "batches": batches, "steps": 2 * batches}
        assert logged[client] == expected | {"is_users": 1, "width": 6}
    assert kind is LightningTrainer or options["stack"] == "never" or worker.setup.plan.stacked


@pytest.mark.parametrize(("kind", "options"), BOTH)
def test_the_samples_are_those_of_the_client(kind: Any, options: Any) -> None:
    module = reads(
        samples=lambda self: len(self.trainer.train_dataloader.dataset),
        first=lambda self: self.trainer.train_dataloader.dataset[0][0][0],
        size=lambda self: self.trainer.train_dataloader.batch_size,
        rows=lambda self: len(self.trainer.train_dataloader.batch_sampler),
        seen=lambda self: sum(len(batch[1]) for batch in self.trainer.train_dataloader),
    )
    logged, _ = fitted(kind, module(), **options)
    x = Vectors().samples.tensors[0]
    for client, first in ((0, 0), (1, 10), (2, 17)):
        assert logged[client] == {
            "samples": SAMPLES[client],
            "first": float(x[first, 0]),
            "size": 4,
            "rows": BATCHES[client],
            "seen": SAMPLES[client],
        }


@pytest.mark.parametrize("validation", [(), (3, 1, 20, 0, 7, 2)])
@pytest.mark.parametrize(("kind", "options"), BOTH)
def test_validation_samples_can_be_read_without_a_validation_pass(
    kind: Any, options: Any, validation: Any, caplog: pytest.LogCaptureFixture
) -> None:
    begin_run()
    module = reads(
        batches=lambda self: len(self.trainer.datamodule.val_dataloader()),
        samples=lambda self: len(self.trainer.datamodule.val_dataloader().dataset),
        sum=lambda self: sum(batch[0].sum() for batch in self.trainer.datamodule.val_dataloader()),
    )
    logged, _ = fitted(kind, module(), validation=validation, **options)
    x = Vectors().samples.tensors[0]
    expected = {"batches": 2 if validation else 0, "samples": len(validation), "sum": float(x[list(validation)].sum())}
    assert all(values == pytest.approx(expected) for values in logged.values()) and len(logged) == 3
    warned = [r.getMessage() for r in caplog.records if "val_dataloader() is read in a fit and is empty" in r.message]
    assert len(warned) == (not validation)


@pytest.mark.parametrize(("kind", "options"), BOTH)
def test_test_samples_in_a_fit_are_refused(kind: Any, options: Any) -> None:
    module = reads(batches=lambda self: len(list(self.trainer.datamodule.test_dataloader())))
    with pytest.raises(InputError, match=r"test_dataloader\(\) is called in a client's fit.*leave the call out"):
        fitted(kind, module(), **options)


@pytest.mark.parametrize(("limit", "batches"), [(2, (2, 2, 1)), (0.5, (1, 1, 1))])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_estimated_steps_under_accumulation_and_a_limit(limit: Any, batches: Any, accumulate: int) -> None:
    estimated = reads(steps=lambda self: self.trainer.estimated_stepping_batches)
    logged, _ = fitted(
        LightningTrainer, estimated(), epochs=3, limit_train_batches=limit, accumulate_grad_batches=accumulate
    )
    assert [logged[c]["steps"] for c in range(3)] == [3 * math.ceil(b / accumulate) for b in batches]


@pytest.mark.parametrize("hook", ["setup", "on_fit_start", "on_train_start", "configure_optimizers"])
def test_facts_in_a_hook(hook: str) -> None:
    """Reading the batches in a hook takes none of them from the fit."""

    class Hooked(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.log("facts", float(self.facts))
            return loss_of(self, batch)

    def read(self: Any, *args: Any) -> Any:
        data = self.trainer.datamodule
        samples = sum(len(batch[1]) for batch in self.trainer.train_dataloader)
        self.facts = 100 * len(data.train_dataloader()) + samples + self.trainer.estimated_stepping_batches / 1000
        return Plain.configure_optimizers(self) if hook == "configure_optimizers" else None

    setattr(Hooked, hook, read)
    logged, worker = fitted(LightningTrainer, Hooked())
    for client, batches in BATCHES.items():
        assert logged[client]["facts"] == pytest.approx(100 * batches + SAMPLES[client] + 2 * batches / 1000)
    assert worker.host.snapshot.changed() == []


@pytest.mark.parametrize(("kind", "options"), BOTH)
def test_what_a_client_sets_on_the_data_module_does_not_reach_the_next(kind: Any, options: Any) -> None:
    def count(self: Any) -> int:
        self.trainer.datamodule.calls += 1
        return int(self.trainer.datamodule.calls)

    users = Vectors()
    adopt(users)
    logged, _ = fitted(kind, reads(calls=count)(), users, **options)
    before = users.calls
    assert {c: facts["calls"] - before for c, facts in logged.items()} == {c: 2 * b for c, b in BATCHES.items()}


def test_facts_of_a_measurement() -> None:
    """One epoch of one batch, whatever was trained before; in steps of evaluation, too."""

    class Evaluated(Plain):
        def validation_step(self, batch: Any, batch_idx: int) -> None:
            trainer = self.trainer
            self.log("loader", float(len(trainer.train_dataloader)))
            self.log("of_data", float(len(trainer.datamodule.train_dataloader())))
            self.log("estimated", float(trainer.estimated_stepping_batches))
            self.log("width", float(trainer.datamodule.hparams.width))
            self.logger.experiment.add_scalar("x", 1, 1)

    _, worker = fitted(LightningTrainer, Evaluated())
    host = worker.host
    parts = [np.arange(10), np.arange(10, 21)]
    totals = host.measure_loaded(host.data.test, "test", parts, [0, 1]).totals
    for measured in totals:
        means = {name: total / weight for name, (total, weight) in measured.items()}
        assert {name: means[name] for name in ("loader", "of_data", "estimated", "width")} == {
            "loader": 1,
            "of_data": 1,
            "estimated": 1,
            "width": 6,
        }


def test_a_training_step_is_measured_with_its_facts() -> None:
    class Scaled(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return loss_of(self, batch) * len(self.trainer.train_dataloader) * self.trainer.datamodule.hparams.width

    _, worker = fitted(LightningTrainer, Scaled())
    host = worker.host
    ((total, weight),) = [t["loss"] for t in host.measure_loaded(host.data.test, "test", [np.arange(21)], [0]).totals]
    with torch.no_grad():
        expected = 6 * loss_of(host.module, host.data.test.batch(np.arange(21)))
    assert total / weight == pytest.approx(float(expected))


# --- loggers ----------------------------------------------------------------------------------------------------------
CALLS: dict[str, Any] = {
    "a scalar": lambda self: self.logger.experiment.add_scalar("x", 1.0, 1),
    "metrics": lambda self: self.logger.log_metrics({"x": 1.0}, step=1),
    "images of wandb": lambda self: self.logger.log_image("x", [1]),
    "a series of neptune": lambda self: self.logger.experiment["train/loss"].append(1),
    "every logger": lambda self: [logger.experiment.log({"x": 1}) for logger in self.trainer.loggers],
}


@pytest.mark.parametrize(("kind", "options"), BOTH[:2])
@pytest.mark.parametrize("name", CALLS)
def test_a_logger_swallows_and_says_so_once(
    name: str, kind: Any, options: Any, caplog: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)

    class Logs(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            assert self.logger is not None and self.logger
            CALLS[name](self)
            return super().training_step(batch, batch_idx)

    logged, worker = fitted(kind, Logs(), **options)
    said = [r.getMessage() for r in caplog.records if "self.logger keeps nothing" in r.getMessage()]
    assert len(said) == 1 and "self.log " in said[0]
    assert all("loss" in facts for facts in logged.values())  # self.log goes on
    assert not list(tmp_path.iterdir())
    assert kind is LightningTrainer or worker.setup.plan.stacked


def test_a_module_that_only_asks_for_its_logger_gets_no_warning(caplog: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)

    class Asks(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if not isinstance(self.logger, pl.loggers.TensorBoardLogger):
                assert Path(self.logger.save_dir).is_dir() and Path(self.trainer.log_dir).is_dir()
                (Path(self.logger.log_dir) / f"{self.logger.name}{self.logger.version}.txt").write_text("x")
                self.logger.log_hyperparams({"a": 1})
            return super().training_step(batch, batch_idx)

    fitted(LightningTrainer, Asks())
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert not list(tmp_path.iterdir())


# --- other processes --------------------------------------------------------------------------------------------------
class Unpicklable(Vectors):
    def __init__(self) -> None:
        super().__init__()
        self.of_no_pickle = lambda: 3


def test_the_data_module_is_sent_without_a_second_copy_of_the_samples() -> None:
    source = adopt(Vectors(width=400))
    packed = _pack_data(JobData(source.train, source.test, users=source.users))
    samples = source.train.tensors[0]  # type: ignore[attr-defined]
    assert packed.num_bytes < 2.1 * samples.numel() * 8  # the training and the test set
    sent: JobData = unpack(packed)
    assert isinstance(sent.users, Vectors) and sent.users.hparams.width == 400


def test_a_data_module_that_cannot_be_pickled_is_refused_where_it_is_read() -> None:
    source = adopt(Unpicklable())
    sent: JobData = unpack(_pack_data(JobData(source.train, source.test, users=source.users)))
    assert isinstance(sent.users, CannotBeSent)
    view: Any = with_hooks_of(Vectors(), sent.users)
    assert len(view.train_dataloader()) == 6
    with pytest.raises(InputError, match=r"trainer.datamodule.hparams_of: Unpicklable cannot be sent .*engine=serial"):
        view.hparams_of  # noqa: B018


def test_plain_job_has_the_batches_that_are_counted() -> None:
    """The numbers of this file, by numpy."""
    cohort: list[Job] = jobs(1)
    assert {job.client: len(job.train) for job in cohort} == SAMPLES
    assert {job.client: -(-len(job.train) // job.batch_size) for job in cohort} == BATCHES
