"""What an algorithm wants of the gradients, and how one client's step obeys it, on a Trainer or without one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from fedlit.client import AdjustGradient, GradientFn, Step
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.model_vectors import Layout, Model
from fedlit.user_module.training_step import FunctionalStep, part_of, targets_of


@dataclass
class Gradient:
    """What an algorithm wants of the gradients (see `Client.fit`)."""

    adjust_gradient: AdjustGradient | None
    extras: Sequence[Tensor]
    trainable: Model | None
    gradient_fn: GradientFn | None
    carry: dict[str, Tensor]

    @property
    def shaped(self) -> bool:
        return self.adjust_gradient is not None or self.trainable is not None or self.gradient_fn is not None

    def row(self, r: int, k: int) -> Gradient:
        """The r-th client's alone, of k; leading axes of one client stay, as a Trainer's client has them."""

        def one(t: Tensor) -> Tensor:
            return t[r : r + 1] if t.dim() > 1 and len(t) == k else t

        trainable = self.trainable and Model(one(self.trainable.weights), one(self.trainable.statistics))
        return Gradient(
            self.adjust_gradient,
            [one(v) for v in self.extras],
            trainable,
            self.gradient_fn,
            {n: one(v) for n, v in self.carry.items()},
        )


class BatchStep(Step):
    """A Step over a batch whose samples lie along `axis`: 0 for one client, 1 for a stack."""

    axis: int

    def __init__(self, batch: Any, batch_idx: int, lr: Tensor):
        self.batch, self.batch_idx, self.lr = batch, batch_idx, lr

    @abstractmethod
    def _at(self, what: str, weights: Tensor, batch: Any) -> Tensor:
        """What `StepAt.swapped` gives for clients (K, P)."""

    def loss(self, weights: Tensor, part: tuple[int, int] = (0, 1)) -> Tensor:
        return self._at("loss", weights, part_of(self.batch, part, self.axis))

    def features(self, weights: Tensor) -> Tensor:
        return self._at("features", weights, self.batch)

    def outputs(self, weights: Tensor) -> Tensor:
        return self._at("outputs", weights, self.batch)

    @property
    def targets(self) -> Tensor:
        found = targets_of(self.batch)
        return found if self.axis else found[None]


class OneStep(BatchStep):
    axis = 0

    def __init__(
        self, at: FunctionalStep, batch: Any, batch_idx: int, draws: RandomMode, lr: Tensor, context: Callable[[], Any]
    ):
        super().__init__(batch, batch_idx, lr)
        self.at, self.draws, self.context = at, draws, context

    def _at(self, what: str, weights: Tensor, batch: Any) -> Tensor:
        spare = {n: b.clone() for n, b in self.at.module.named_buffers()}
        with self.context(), _unlogged(self.at.module):
            tensors = self.at.layout.pieces(weights[0]) | spare
            return self.at.swapped(tensors, what, batch, self.batch_idx, self.draws)[None]


@contextmanager
def _unlogged(module: pl.LightningModule) -> Iterator[None]:
    """What a rule looks at is not what the step is to log."""
    before = vars(module).get("log")
    module.log = lambda *args, **options: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        del module.__dict__["log"]
        if before is not None:
            module.log = before  # type: ignore[method-assign]


class GradientEditor:
    """An algorithm's hand on the gradients of one client's module, step by step."""

    def __init__(self, wanted: Gradient, module: pl.LightningModule, layout: Layout):
        self.wanted, self.module, self.layout = wanted, module, layout
        self.named = {n: p for n, p in module.named_parameters() if n in layout.weights}
        one = [v[0] if v.dim() > 1 else v for v in wanted.extras]
        self.pieces = [layout.pieces(v) for v in one] if wanted.adjust_gradient else []
        trainable = None if wanted.trainable is None else wanted.trainable.weights
        self.trainable = (
            None if trainable is None else layout.pieces(trainable[0] if trainable.dim() > 1 else trainable)
        )
        self.carry = dict(wanted.carry)
        self._before: dict[str, Tensor] = {}

    def by_rule(
        self, batch: Any, batch_idx: int, draws: RandomMode, lr: Tensor, context: Callable[[], Any]
    ) -> dict[str, Tensor]:
        """The rule's gradient at the module's weights, in pieces."""
        step = OneStep(FunctionalStep(self.module, self.layout), batch, batch_idx, draws, lr, context)
        weights = self.layout.read(self.module).weights[None].requires_grad_()
        extras = [v if v.dim() > 1 else v[None] for v in self.wanted.extras]
        assert self.wanted.gradient_fn is not None
        gradient = self.wanted.gradient_fn(step, weights, *extras, **self.carry)
        if self.carry:
            gradient, new = gradient
            self.carry |= new
        return self.layout.pieces(gradient.detach()[0])

    def before_step(self) -> None:
        """Correct the gradients that are there, and keep still what may not move."""
        for name, p in self.named.items():
            if p.grad is None:
                continue
            if self.wanted.adjust_gradient is not None:
                p.grad = self.wanted.adjust_gradient(p.grad, p.detach(), *(piece[name] for piece in self.pieces))
            if self.trainable is not None:
                p.grad = p.grad * self.trainable[name]
        if self.trainable is not None:
            self._before = {n: p.detach().clone() for n, p in self.named.items()}

    @torch.no_grad()
    def after_step(self) -> None:
        """Weight decay moves what has no gradient: put it back."""
        if self.trainable is None:
            return
        for name, old in self._before.items():
            self.named[name].copy_(torch.where(self.trainable[name], self.named[name], old))
        self._before = {}


def learning_rates(optimizers: Sequence[Any], named: Mapping[str, Tensor]) -> Tensor:
    """The learning rates now: (1,) where all parameters share one, else (P,)."""
    groups = [g for o in optimizers for g in o.param_groups]
    first = next(iter(named.values()))
    rates = {float(g["lr"]) for g in groups}
    if len(rates) == 1:
        return first.new_full((1,), rates.pop())  # new_tensor would wait for the GPU
    by_id = {id(p): float(g["lr"]) for g in groups for p in g["params"]}
    return torch.cat([first.new_full((p.numel(),), by_id.get(id(p), 0.0)) for p in named.values()])


def as_wide(rates: Tensor, others: Tensor) -> Tensor:
    """(..., 1) or (..., P) rates so that others can be added in place: a scheduler may have drawn the groups apart."""
    width = others.shape[-1]
    return rates if rates.shape[-1] >= width else rates.expand(*rates.shape[:-1], width).clone()
