"""The three strategies of measuring agree where they apply."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torchmetrics
from torch import nn
from torch.nn import functional as F

from fedlit.data import TensorSamples
from fedlit.data.client_data import FirstBatch
from fedlit.evaluation.measure import Measure
from fedlit.evaluation.measured_module import MeasuredModule
from fedlit.evaluation.parts import Parts
from fedlit.user_module.module_snapshot import ModuleSnapshot
from tests.training.rounds import cut, numbers


class ByBatch(pl.LightningModule):
    """Dropout and batch norm: only in evaluation mode do results not depend on the size of batches."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss


class BySample(ByBatch):
    def losses(self, outputs, targets):
        return F.cross_entropy(outputs, targets, reduction="none")


class ByTest(ByBatch):
    def test_step(self, batch, batch_idx):
        self.log("loss", F.cross_entropy(self(batch[0]), batch[1]), batch_size=len(batch[1]))


class ByValidation(ByBatch):
    def validation_step(self, batch, batch_idx):
        self.log("loss", F.cross_entropy(self(batch[0]), batch[1]), batch_size=len(batch[1]))


class ReadsTheLoader(ByValidation):
    """Logs what its loader says; its hook, written for fits, steps a scheduler."""

    def validation_step(self, batch, batch_idx):
        super().validation_step(batch, batch_idx)
        loader, rate = self.trainer.val_dataloaders, self.optimizers().param_groups[0]["lr"]
        facts = {"batches": len(loader), "of trainer": self.trainer.num_val_batches[0], "last": loader.dataset[-1][1]}
        self.log_dict({"samples": len(loader.dataset), "size": loader.batch_size, "rate": rate, **facts})

    def on_validation_epoch_end(self):
        self.lr_schedulers().step(self.trainer.callback_metrics["loss"])

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), 0.5)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=1e9, cooldown=0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "loss"}}


PARTS = [*cut(7, 20, 0), np.array([3, 3, 9])]


def a_trainer() -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,
    )


def subject_of(module: pl.LightningModule, example=None) -> MeasuredModule:
    batch = numbers(4) if example is None else example

    def data_for(trainer: pl.Trainer) -> FirstBatch:
        data = FirstBatch(TensorSamples(torch.zeros(4)), np.arange(4), lambda: batch)
        data.trainer = trainer
        return data

    return MeasuredModule(module, ModuleSnapshot(module), a_trainer, lambda: batch, data_for, lambda batch: batch[-1])


def parts_of(samples, indices, clients=None, prepare=lambda batch, index, clients_of: batch, split="test") -> Parts:
    return Parts.of(samples, split, indices, clients or [-1] * len(indices), prepare)


def measured(kind: type, parts=PARTS, measure=None, confusion=None):
    torch.manual_seed(0)
    module = kind()
    samples = parts_of(TensorSamples(*numbers(27)), parts)
    result = (measure or Measure(batch_size=4))(subject_of(module), samples, confusion)
    return module, result


def by_hand(parts=PARTS):
    torch.manual_seed(0)
    module = ByBatch().eval()
    x, y = numbers(27)
    with torch.no_grad():
        outputs = module.net(x)
    losses, right = F.cross_entropy(outputs, y, reduction="none"), outputs.argmax(1) == y
    return losses, right, outputs, y


@pytest.mark.parametrize("kind", [ByBatch, BySample, ByTest, ByValidation])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_strategies_agree_on_the_loss(kind):
    losses, right, _, _ = by_hand()
    module, result = measured(kind)
    for part, totals in zip(PARTS, result.totals, strict=True):
        if not len(part):
            assert totals == {}
            continue
        assert totals["loss"] == pytest.approx((float(losses[part].sum()), len(part)), rel=1e-5)
        if kind in (ByBatch, BySample):
            assert totals["accuracy"] == (float(right[part].sum()), len(part))
    assert all(m.training for m in module.modules())
    assert "log" not in vars(module)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_validation_step_reads_its_loader_and_new_optimizers():
    y = numbers(27)[1]
    for part, totals in zip(PARTS, measured(ReadsTheLoader)[1].totals, strict=True):
        if not len(part):
            continue
        batches = float(np.ceil(len(part) / 4))
        expected = {"samples": len(part), "size": 4, "rate": 0.5, "batches": batches, "of trainer": batches}
        means = {name: total / weight for name, (total, weight) in totals.items()}
        assert {name: means[name] for name in expected} == pytest.approx(expected)
        assert means["last"] == float(y[part[-1]])


@pytest.mark.parametrize("kind", [ByBatch, BySample])
def test_confusion_matrix_and_torchmetrics_by_hand(kind):
    _, _, outputs, y = by_hand()
    metric = torchmetrics.F1Score(task="multiclass", num_classes=3, average="macro")
    _, result = measured(kind, cut(7, 20), Measure(4, {"f1": metric}), confusion=3)
    expected = np.zeros((3, 3), dtype=int)
    for true, predicted in zip(y.tolist(), outputs.argmax(1).tolist(), strict=True):
        expected[true, predicted] += 1
    assert np.array_equal(result.confusion, expected)
    for part, totals in zip(cut(7, 20), result.totals, strict=True):
        predicted, true = outputs.argmax(1)[part], y[part]
        scores = []
        for c in range(3):
            hit = int(((predicted == c) & (true == c)).sum())
            total_count = int((predicted == c).sum() + (true == c).sum())
            scores += [2 * hit / total_count] if total_count else []
        total, weight = totals["f1"]
        assert total / weight == pytest.approx(sum(scores) / len(scores))
        assert weight == len(part)
    assert metric._update_count == 0  # the configured metric is cloned, never updated


def test_targets_that_are_no_classes_have_only_a_loss():
    class Regression(ByBatch):
        def training_step(self, batch, batch_idx):
            return F.mse_loss(self(batch[0]), batch[1])

    samples = TensorSamples(torch.randn(6, 6), torch.randn(6, 3))
    example = samples.batch(np.arange(4))
    result = Measure()(subject_of(Regression(), example), parts_of(samples, cut(6)), 3)
    assert set(result.totals[0]) == {"loss"} and result.confusion is None


def test_prepare_receives_samples_and_their_clients():
    seen = []

    def prepare(batch, index, clients_of):
        seen.extend(zip(index.tolist(), clients_of.tolist(), strict=True))
        return batch

    for kind in (ByBatch, BySample):
        seen.clear()
        Measure(4)(subject_of(kind()), parts_of(TensorSamples(*numbers(6)), cut(4, 2), [5, 9], prepare))
        assert seen == [(0, 5), (1, 5), (2, 5), (3, 5), (4, 9), (5, 9)]


def test_mean_loss_weights_batches_by_their_samples():
    losses, _, _, _ = by_hand()
    torch.manual_seed(0)
    module = ByBatch()
    subject, samples = subject_of(module), TensorSamples(*numbers(27))
    result = Measure(4).mean_loss(subject, parts_of(samples, [np.arange(7)]))
    assert result == pytest.approx(float(losses[:7].mean()), rel=1e-5)
    assert np.isnan(Measure(4).mean_loss(subject, parts_of(samples, [np.arange(0)])))
    assert module.training


def test_measuring_draws_nothing_from_the_global_generators():
    torch.manual_seed(4)
    measured(ByBatch)
    after = torch.rand(1)
    torch.manual_seed(0)  # `measured` itself seeds and makes a module
    ByBatch()
    assert torch.equal(after, torch.rand(1))
