"""Values that a step logs."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torchmetrics
from torch.nn import functional as F

from tests.training.module_kinds.case import Case, Plain, accuracy, loaded, looped, loss_of, step, vectors


def logs(**options: Any) -> Any:
    def of(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = loss_of(self, batch)
        self.log("it", loss, **options)
        return loss

    return of


def logs_much(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    numbers = {"a": loss, "b": loss * 2, "three": 3, "epoch": float(self.current_epoch)}
    self.log_dict(numbers, on_epoch=True, prog_bar=True)
    return loss


def logs_twice(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    self.log("it", loss, on_step=False, on_epoch=True)
    self.log("it", 2 * loss, on_step=False, on_epoch=True)
    return loss


def logs_at_times(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    if self.current_epoch == 0:
        self.log("first", loss, on_epoch=True)
    if batch_idx == 0:
        self.log("begin", loss, on_step=False, on_epoch=True)
    return loss


def logs_metrics(self: Any, batch: Any, batch_idx: int) -> Any:
    out = self(batch[0])
    self.log_dict(self.accuracy(out, batch[1]), on_step=False, on_epoch=True)
    return F.cross_entropy(out, batch[1])


class Collected(Plain):
    """A MetricCollection, logged as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.metrics = torchmetrics.MetricCollection({"accuracy": accuracy(), "top2": copy.deepcopy(accuracy())})

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        out = self(batch[0])
        self.metrics.update(out, batch[1])
        self.log_dict(self.metrics, on_step=False, on_epoch=True)
        return F.cross_entropy(out, batch[1])


LOGS: dict[str, Case] = {
    "log": step(logs()),
    "log by epoch": step(logs(on_step=False, on_epoch=True)),
    "log by step and epoch": step(logs(on_step=True, on_epoch=True, prog_bar=True)),
    "log with a batch size": step(logs(on_epoch=True, batch_size=5)),
    "log the largest": looped(step(logs(on_step=False, on_epoch=True, reduce_fx="max")), "reduce_fx"),
    "log the sum": looped(step(logs(on_step=False, on_epoch=True, reduce_fx=torch.sum)), "reduce_fx"),
    "log_dict": step(logs_much),
    "log twice": looped(step(logs_twice), "twice"),
    "log in some steps": step(logs_at_times),
    "log in dict batches": step(logs_much, loaded(lambda x, y, i: (x, y, [y, y + 1]))),
    "a collection of torchmetrics": looped(Case("stacked", Collected, vectors)),
}
