"""What people write into a training_step: batches of other forms, facts of the trainer, draws, state, and logging."""

from __future__ import annotations

import copy
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional as F

from tests.trainers.forty.case import CLASSES, Case, Plain, loaded, looped, loss_of, mlp, step, vectors

# --- batches ----------
dicts = loaded(lambda x, y, i: {"x": x, "y": y})
nested = loaded(lambda x, y, i: {"in": [x, {"again": x + 1}], "out": (y, float(i))})
named = loaded(lambda x, y, i: (x, y, f"sample {i}"))


def of_dict(self: Any, batch: Any, batch_idx: int) -> Any:
    return {"loss": F.cross_entropy(self(batch["x"]), batch["y"]), "more": batch["x"].mean()}


def of_nested(self: Any, batch: Any, batch_idx: int) -> Any:
    x, more = batch["in"]
    return (F.cross_entropy(self(x + more["again"]), batch["out"][0], reduction="none") * batch["out"][1]).mean()


def without_loss(self: Any, batch: Any, batch_idx: int) -> Any:
    return None if batch_idx == 1 else loss_of(self, batch)


def in_a_vector(self: Any, batch: Any, batch_idx: int) -> Any:
    return loss_of(self, batch)[None]


BATCHES: dict[str, Case] = {
    "dict batches": step(of_dict, dicts),
    "nested batches": step(of_nested, nested),
    "batches with strings": looped(step(lambda self, batch, batch_idx: loss_of(self, batch), named)),
    "no loss for some batches": looped(step(without_loss)),
    "loss in a vector": step(in_a_vector),
}


# --- facts of the trainer ----------
def reads(fact: Any) -> Any:
    return lambda self, batch, batch_idx: loss_of(self, batch) * (1 + fact(self))


FACTS: dict[str, Case] = {
    "batch_idx": step(lambda self, batch, batch_idx: loss_of(self, batch) * (1 + batch_idx)),
    "current_epoch": step(reads(lambda self: self.current_epoch)),
    "global_step": step(reads(lambda self: self.global_step)),
    "num_training_batches": step(reads(lambda self: self.trainer.num_training_batches)),
    "is_last_batch": step(reads(lambda self: self.trainer.is_last_batch)),
    "max_epochs": step(reads(lambda self: self.trainer.max_epochs)),
    "its optimiser": looped(step(reads(lambda self: self.optimizers().param_groups[0]["lr"])), "optimiser"),
    "its scheduler": looped(
        step(reads(lambda self: len(self.lr_schedulers() or []) if self.optimizers() else 0)), "optimiser"
    ),
    "printing": step(lambda self, batch, batch_idx: self.print("", end="") or loss_of(self, batch)),
    "callback_metrics": Case("refused", step(reads(lambda self: len(self.trainer.callback_metrics))).make, vectors),
    "its data": Case("refused", step(reads(lambda self: len(self.trainer.train_dataloader))).make, vectors),
}


def stops(self: Any, batch: Any, batch_idx: int) -> Any:
    if self.current_epoch == 0:
        self.trainer.should_stop = True
    return loss_of(self, batch)


FACTS["stopping early"] = Case("refused", step(stops).make, vectors, "should_stop")


# --- draws ----------
def noisy(self: Any, batch: Any, batch_idx: int) -> Any:
    x, y = batch
    x = x + 0.1 * torch.randn_like(x) + torch.empty_like(x).normal_(0, 0.1) + 0.1 * torch.rand(x.shape)
    return F.cross_entropy(self(x * torch.bernoulli(torch.full_like(x, 0.9))), y)


def mixup(self: Any, batch: Any, batch_idx: int) -> Any:
    x, y = batch
    share, other = torch.rand(1), torch.randperm(len(x))
    out = self(share * x + (1 - share) * x[other])
    return share.mean() * F.cross_entropy(out, y) + (1 - share.mean()) * F.cross_entropy(out, y[other])


def beta_mixup(self: Any, batch: Any, batch_idx: int) -> Any:
    share = torch.distributions.Beta(0.4, 0.4).sample()
    return F.cross_entropy(self(share * batch[0]), batch[1])


def late(draw: Any) -> Any:
    """Draws in the second epoch alone."""
    return lambda self, batch, batch_idx: loss_of(self, batch) * (1 + (draw(self) if self.current_epoch else 0))


DRAWS: dict[str, Case] = {
    "noise": step(noisy),
    "mixup": step(mixup),
    "mixup by a beta distribution": looped(step(beta_mixup), "draws"),
    "numpy draws": looped(step(lambda s, batch, batch_idx: loss_of(s, batch) * np.random.rand()), "draws"),
    "python draws": looped(step(lambda s, batch, batch_idx: loss_of(s, batch) * random.random()), "draws"),
    "late numpy draws": looped(step(late(lambda self: np.random.rand())), "draws"),
    "late dropout": looped(step(late(lambda self: F.dropout(torch.ones(9), 0.5).mean()))),
    "numpy draws of its own": looped(
        step(lambda s, b, batch_idx: loss_of(s, b) * s.rng.random(), rng=lambda: np.random.default_rng(3)), "rng"
    ),
    "rare draws of its own": looped(
        step(lambda s, b, i: loss_of(s, b) * (1 + (s.rng.random() < 1e-9)), rng=lambda: random.Random(3)), "rng"
    ),
}


# --- what a step keeps ----------
def counts(self: Any, batch: Any, batch_idx: int) -> Any:
    self.calls += 1
    return loss_of(self, batch) / self.calls


def counts_in_an_object(self: Any, batch: Any, batch_idx: int) -> Any:
    self.meter.calls += 1
    return loss_of(self, batch) * (1 if self.meter.calls < 100 else 0)


def counts_in_an_array(self: Any, batch: Any, batch_idx: int) -> Any:
    self.seen[batch_idx] += 1
    return loss_of(self, batch) * (1 if self.seen.max() < 100 else 0)


def remembers(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    self.mean = 0.9 * self.mean + 0.1 * loss.detach()
    return loss / (1 + self.mean)


def collects(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    self.losses.append(loss.detach())
    return loss


def caches(self: Any, batch: Any, batch_idx: int) -> Any:
    """Leaves something new on the module."""
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


def metered(self: Any, batch: Any, batch_idx: int) -> Any:
    out = self(batch[0])
    self.accuracy(out, batch[1])
    self.log("accuracy", self.accuracy, on_step=True, on_epoch=True)
    return F.cross_entropy(out, batch[1])


def accuracy() -> Any:
    return torchmetrics.Accuracy("multiclass", num_classes=CLASSES)


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
    "a tensor that remembers": looped(step(remembers, mean=lambda: torch.zeros(()))),
    "a list that grows": looped(step(collects, losses=list), "losses"),
    "something left behind": looped(step(caches), "last"),
    "ema teacher in place": looped(step(distils(in_place), teacher=teacher())),
    "ema teacher through data": looped(step(distils(through_data), teacher=teacher())),
    "ema teacher assigned anew": looped(step(distils(reassigned), teacher=teacher())),
    "frozen weights that decay": looped(step(distils(decays), teacher=teacher())),
    "still teacher": step(distils(lambda self: None), teacher=teacher()),
    "a torchmetric logged": looped(step(metered, accuracy=accuracy)),
    "a torchmetric read": looped(step(metered_by_hand, accuracy=accuracy)),
    "a buffer made late": looped(Case("stacked", LazyBuffer, vectors)),
}


# --- control flow, gradients, precision ----------
def depends_on_data(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    return loss * 0.5 if loss > 1.1 else loss


def guards(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    if torch.isnan(loss):
        raise ValueError("no loss")
    return loss


def masked(self: Any, batch: Any, batch_idx: int) -> Any:
    x, y = batch
    return F.cross_entropy(self(x[x[:, 0] > -0.5]), y[x[:, 0] > -0.5])


def as_a_number(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    return loss * min(1.0, loss.item())


def as_an_array(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    return loss * float(loss.detach().cpu().numpy() > 1)


def penalty(self: Any, batch: Any, batch_idx: int) -> Any:
    """Of the gradient for the input."""
    x = batch[0].clone().requires_grad_()
    loss = F.cross_entropy(self(x), batch[1])
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    return loss + slope.square().sum()


def penalty_of_weights(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    slopes = torch.autograd.grad(loss, list(self.net.parameters()), create_graph=True)
    return loss + sum(g.square().sum() for g in slopes)


def in_autocast(self: Any, batch: Any, batch_idx: int) -> Any:
    with torch.autocast("cpu", torch.bfloat16):
        return loss_of(self, batch)


def freezes(self: Any, batch: Any, batch_idx: int) -> Any:
    self.net[0].requires_grad_(self.current_epoch > 0)
    return loss_of(self, batch)


def sometimes_more(self: Any, batch: Any, batch_idx: int) -> Any:
    """A second head that is trained in the second epoch alone: its momentum and its counts begin then."""
    hidden = self.net[:2](batch[0])
    loss = F.cross_entropy(self.net[2](hidden), batch[1])
    return loss + (self.other(hidden).square().mean() if self.current_epoch else 0)


def one_head_a_time(self: Any, batch: Any, batch_idx: int) -> Any:
    hidden = self.net[:2](batch[0]).detach()
    return F.cross_entropy((self.other if batch_idx % 2 else self.net[2])(hidden), batch[1])


def in_double(self: Any, batch: Any, batch_idx: int) -> Any:
    return loss_of(self, [batch[0].double(), batch[1]]).double()


def in_single(self: Any, batch: Any, batch_idx: int) -> Any:
    """Casts what it gets, which 64 bits do not go through."""
    return F.cross_entropy(self(batch[0].float()).float(), batch[1])


def large(self: Any, batch: Any, batch_idx: int) -> Any:
    return loss_of(self, batch) * 1e6


def hooked_inside(self: Any, batch: Any, batch_idx: int) -> Any:
    hidden = self.net[:2](batch[0])
    hidden.register_hook(lambda g: g * 0.5)
    return F.cross_entropy(self.net[2](hidden), batch[1])


def by_func(self: Any, batch: Any, batch_idx: int) -> Any:
    """A step of its own inside the step, as meta-learning does it."""
    first = dict(self.net.named_parameters())

    def inner(p: Any) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(self.net, p, (batch[0],)), batch[1])

    slopes = torch.func.grad(inner)(first)
    return inner({n: p - 0.1 * slopes[n] for n, p in first.items()})


class WithWeights(Plain):
    """Class weights and label smoothing at once."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 3.0]), label_smoothing=0.1)

    def training_step(self, batch: Any) -> Any:
        return self.loss(self(batch[0]), batch[1])


def other() -> nn.Module:
    return nn.Linear(8, CLASSES)


FLOW: dict[str, Case] = {
    "control flow by data": looped(step(depends_on_data)),
    "a guard that never acts": step(guards),
    "a mask of samples": looped(step(masked)),
    "item": looped(step(as_a_number)),
    "numpy": looped(step(as_an_array)),
    "gradient penalty": looped(step(penalty)),
    "gradient penalty of weights": looped(step(penalty_of_weights)),
    "autocast": looped(step(in_autocast), "autocast"),
    "a part frozen at first": looped(step(freezes)),
    "a head that begins late": looped(step(sometimes_more, other=other)),
    "heads in turn": looped(step(one_head_a_time, other=other)),
    "double precision by itself": step(in_double),
    "single precision by itself": Case("stacked", step(in_single).make, vectors, options={"precision": "32-true"}),
    "large losses": step(large),
    "a hook inside": looped(step(hooked_inside)),
    "a step inside the step": step(by_func),
    "class weights and smoothing": Case("stacked", WithWeights, vectors),
}


# --- logging ----------
def logs(**options: Any) -> Any:
    def of(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = loss_of(self, batch)
        self.log("it", loss, **options)
        return loss

    return of


def logs_much(self: Any, batch: Any, batch_idx: int) -> Any:
    loss = loss_of(self, batch)
    values = {"a": loss, "b": loss * 2, "three": 3, "epoch": float(self.current_epoch)}
    self.log_dict(values, on_epoch=True, prog_bar=True)
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
    "log at times": step(logs_at_times),
    "log in dict batches": step(logs_much, loaded(lambda x, y, i: (x, y, [y, y + 1]))),
    "a collection of torchmetrics": looped(Case("stacked", Collected, vectors)),
}
