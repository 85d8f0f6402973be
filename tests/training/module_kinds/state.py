"""State that a step keeps on its module."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.training.module_kinds.case import Case, Plain, accuracy, looped, loss_of, mlp, step, vectors


def counts(self: Any, batch: Any, batch_idx: int) -> Any:
    self.calls += 1
    return loss_of(self, batch) / self.calls


def counts_in_an_object(self: Any, batch: Any, batch_idx: int) -> Any:
    self.meter.calls += 1
    return loss_of(self, batch) * (1 if self.meter.calls < 100 else 0)


def counts_in_an_array(self: Any, batch: Any, batch_idx: int) -> Any:
    self.seen[batch_idx] += 1
    return loss_of(self, batch) * (1 if self.seen.max() < 100 else 0)


class Slots:
    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


def counts_on(self: Any, batch: Any, batch_idx: int) -> Any:
    return loss_of(self, batch) * (1 if next(self.calls) < 100 else 0)


def remembers(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    self.mean = 0.9 * self.mean + 0.1 * loss.detach()
    return loss / (1 + self.mean)


def collects(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    self.losses.append(loss.detach())
    return loss


def caches(self: Any, batch: Any, batch_idx: int) -> Any:
    """Adds an attribute to the module."""
    self.last = self(batch[0])
    return F.cross_entropy(self.last, batch[1])


def teacher() -> Any:
    return lambda: mlp().requires_grad_(False)


def distils(how: Any) -> Any:
    def of(self: Any, batch: Any, batch_idx: int) -> Any:
        with torch.no_grad():
            goal = self.teacher(batch[0]).softmax(1)
        loss = loss_of(self, batch) + F.cross_entropy(self(batch[0]), goal)
        with torch.no_grad():
            how(self)
        return loss

    return of


def in_place(self: Any) -> None:
    for t, p in zip(self.teacher.parameters(), self.net.parameters(), strict=True):
        t.mul_(0.9).add_(p, alpha=0.1)


def through_data(self: Any) -> None:
    for t, p in zip(self.teacher.parameters(), self.net.parameters(), strict=True):
        t.data.mul_(0.9).add_(p.data, alpha=0.1)


def reassigned(self: Any) -> None:
    for t, p in zip(self.teacher.parameters(), self.net.parameters(), strict=True):
        t.data = 0.9 * t.data + 0.1 * p.data


def decays(self: Any) -> None:
    """The same for every client, and once a step."""
    self.teacher[0].weight.data.mul_(0.9)


def distils_from_a_list(self: Any, batch: Any, batch_idx: int) -> Any:
    """A list hides the teacher from the module's parameters."""
    with torch.no_grad():
        goal = self.hidden[0](batch[0]).softmax(1)
    loss = loss_of(self, batch) + F.cross_entropy(self(batch[0]), goal)
    with torch.no_grad():
        for t, p in zip(self.hidden[0].parameters(), self.net.parameters(), strict=True):
            t.mul_(0.9).add_(p, alpha=0.1)
    return loss


def decays_in_a_list(self: Any, batch: Any, batch_idx: int) -> Any:
    """The same for every client, and not used before the hundredth step."""
    with torch.no_grad():
        self.hidden[0][0].weight.mul_(0.9)
    return loss_of(self, batch)


def metered(self: Any, batch: Any, batch_idx: int) -> Any:
    out = self(batch[0])
    self.accuracy(out, batch[1])
    self.log("accuracy", self.accuracy, on_step=True, on_epoch=True)
    return F.cross_entropy(out, batch[1])


def metered_by_hand(self: Any, batch: Any, batch_idx: int) -> Any:
    out = self(batch[0])
    self.accuracy.update(out, batch[1])
    return F.cross_entropy(out, batch[1]) * (1 + self.accuracy.compute())


def lazily(self: Any, batch: Any, batch_idx: int) -> Any:
    if self.center is None:
        self.center = batch[0].mean(0)
    return F.cross_entropy(self(batch[0] - self.center), batch[1])


class LazyBuffer(Plain):
    """A buffer that is None until the first batch."""

    center: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("center", None)

    training_step = lazily


STATE: dict[str, Case] = {
    "a counter": looped(step(counts, calls=lambda: 0), "calls"),
    "a counter in an object": looped(step(counts_in_an_object, meter=lambda: SimpleNamespace(calls=0)), "meter"),
    "a counter in an array": looped(step(counts_in_an_array, seen=lambda: np.zeros(9)), "seen"),
    "a counter in slots": looped(step(counts_in_an_object, meter=Slots), "meter"),
    "an iterator": looped(step(counts_on, calls=itertools.count), "calls"),
    "a running mean in a tensor": looped(step(remembers, mean=lambda: torch.zeros(()))),
    "a list that grows": looped(step(collects, losses=list), "losses"),
    "a new attribute": looped(step(caches), "last"),
    "ema teacher in place": looped(step(distils(in_place), teacher=teacher())),
    "ema teacher through .data": looped(step(distils(through_data), teacher=teacher())),
    "ema teacher that is reassigned": looped(step(distils(reassigned), teacher=teacher())),
    "frozen weights that decay": looped(step(distils(decays), teacher=teacher())),
    "ema teacher in a list": looped(step(distils_from_a_list, hidden=lambda: [mlp().double()])),
    "weights in a list that decay": looped(step(decays_in_a_list, hidden=lambda: [mlp().double()]), "hidden"),
    "frozen teacher": step(distils(lambda self: None), teacher=teacher()),
    "a torchmetric logged": looped(step(metered, accuracy=accuracy)),
    "a torchmetric read": looped(step(metered_by_hand, accuracy=accuracy)),
    "a buffer that is None at first": looped(Case("stacked", LazyBuffer, vectors)),
}
