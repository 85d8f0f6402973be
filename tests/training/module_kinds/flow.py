"""Control flow, gradients and precision within a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedlit.data import Samples, TensorSamples
from tests.training.module_kinds.case import CLASSES, Case, N, Plain, classes, looped, loss_of, step, vectors


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
    """Of the gradient by the input."""
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
    """A second head that is trained in the second epoch only: its momentum and its counts begin there."""
    hidden = self.net[:2](batch[0])
    loss = F.cross_entropy(self.net[2](hidden), batch[1])
    return loss + (self.other(hidden).square().mean() if self.current_epoch else 0)


def one_head_a_time(self: Any, batch: Any, batch_idx: int) -> Any:
    hidden = self.net[:2](batch[0]).detach()
    return F.cross_entropy((self.other if batch_idx % 2 else self.net[2])(hidden), batch[1])


def in_double(self: Any, batch: Any, batch_idx: int) -> Any:
    return loss_of(self, [batch[0].double(), batch[1]]).double()


def in_single(self: Any, batch: Any, batch_idx: int) -> Any:
    """Casts its batch to 32 bits, so that weights in 64 bits raise."""
    return F.cross_entropy(self(batch[0].float()).float(), batch[1])


def large(self: Any, batch: Any, batch_idx: int) -> Any:
    return loss_of(self, batch) * 1e6


def hooked_inside(self: Any, batch: Any, batch_idx: int) -> Any:
    hidden = self.net[:2](batch[0])
    hidden.register_hook(lambda g: g * 0.5)
    return F.cross_entropy(self.net[2](hidden), batch[1])


def by_func(self: Any, batch: Any, batch_idx: int) -> Any:
    """A gradient step inside the step, as in meta-learning."""
    first = dict(self.net.named_parameters())

    def inner(p: Any) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(self.net, p, (batch[0],)), batch[1])

    slopes = torch.func.grad(inner)(first)
    return inner({n: p - 0.1 * slopes[n] for n, p in first.items()})


def ignores(**options: Any) -> Any:
    """Ignored labels, none of them among the samples of the trial before training."""

    def of(self: Any, batch: Any, batch_idx: int) -> Any:
        return F.cross_entropy(self(batch[0]), batch[1], **options)

    return of


def partly_labelled() -> Samples:
    labels = classes()
    labels[torch.tensor([14, 16, 20])] = -100
    return TensorSamples(vectors().batch(np.arange(N))[0], labels)


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
    "control flow by values": looped(step(depends_on_data)),
    "a check that never raises": step(guards),
    "a mask of samples": looped(step(masked)),
    "item": looped(step(as_a_number)),
    "numpy": looped(step(as_an_array)),
    "gradient penalty": looped(step(penalty)),
    "gradient penalty of weights": looped(step(penalty_of_weights), "require grad"),
    "autocast": looped(step(in_autocast), "autocast"),
    "a part frozen at first": looped(step(freezes)),
    "a head that is trained in later epochs": looped(step(sometimes_more, other=other)),
    "alternating heads": looped(step(one_head_a_time, other=other)),
    "cast to double precision": step(in_double),
    "cast to single precision": Case("stacked", step(in_single).make, vectors, options={"precision": "32-true"}),
    "large losses": step(large),
    "a hook on an activation": looped(step(hooked_inside), "hook"),
    "an inner step by torch.func": step(by_func),
    "class weights and smoothing": Case("stacked", WithWeights, vectors),
    "ignored labels": step(ignores(), partly_labelled),
    "ignored labels, smoothed": step(ignores(label_smoothing=0.1), partly_labelled),
}
