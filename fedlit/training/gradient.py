"""How an algorithm changes gradients, and how the steps of one client follow it, on a Trainer or without one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from fedlit.client import AdjustGradient, GradientFn
from fedlit.data import Samples
from fedlit.errors import InputError
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.model_vectors import Layout, Model, as_complex, as_real
from fedlit.torch_compat import BatchNorm
from fedlit.training.batch_step import OneClientStep
from fedlit.training.fit_tally import group_rates, held_positions, learning_rates
from fedlit.training.rate_alone import warn_of_rate_alone
from fedlit.user_module.training_step import FunctionalStep


@dataclass
class GradientOptions:
    """The arguments of `Client.fit` that concern gradients."""

    adjust_gradient: AdjustGradient | None
    extras: Sequence[Tensor]
    trainable: Model | None
    gradient_fn: GradientFn | None
    carry: dict[str, Tensor]

    @property
    def any(self) -> bool:
        """Whether the algorithm changes the gradients at all."""
        return self.adjust_gradient is not None or self.trainable is not None or self.gradient_fn is not None

    def row(self, r: int, k: int) -> GradientOptions:
        """The options of the r-th of k clients, with a leading axis of one."""
        trainable = self.trainable and Model(
            row_of(self.trainable.weights, r, k), row_of(self.trainable.statistics, r, k)
        )
        return GradientOptions(
            self.adjust_gradient,
            [row_of(v, r, k) for v in self.extras],
            trainable,
            self.gradient_fn,
            {n: row_of(v, r, k) for n, v in self.carry.items()},
        )


def row_of(t: Tensor, r: int, k: int) -> Tensor:
    """The row of the r-th of k clients, with a leading axis of one; the tensor itself where all share it."""
    return t[r : r + 1] if t.dim() > 1 and len(t) == k else t


def with_rows(t: Tensor, k: int) -> Tensor:
    """A tensor of k clients, or of one row or (D,) that all share, as a view (K, ...)."""
    return t.expand(k, *t.shape[t.dim() > 1 :])


def with_row_axis(t: Tensor) -> Tensor:
    """An extra of one client with a leading axis of one."""
    return t if t.dim() > 1 else t[None]


class GradientEditor:
    """Edits the gradients of one client's module, step by step.

    Args:
        clips: gradients are clipped after they are edited.

    Attributes:
        parameters: name -> parameter, of those that are trained.
        carry: the current values of the tensors that are updated along with the weights.
    """

    def __init__(
        self,
        options: GradientOptions,
        module: pl.LightningModule,
        layout: Layout,
        samples: Samples,
        clips: bool = False,
    ):
        self.options, self.module, self.layout, self.samples = options, module, layout, samples
        self._needs_dense = options.any or clips
        self.parameters = {n: p for n, p in module.named_parameters() if n in layout.weights}
        extras = [v[0] if v.dim() > 1 else v for v in options.extras]
        self._extras = [layout.pieces(v) for v in extras] if options.adjust_gradient else []
        self._trainable = None if options.trainable is None else layout.pieces(_one_row(options.trainable.weights))
        self.carry = dict(options.carry)
        self._rates_read: list[float] | None = None  # the `group_rates` that the last `gradient_fn` read
        self._has_begun = False  # a fit with a `gradient_fn`
        self._held: Tensor | None = None  # see `held_positions`
        self._before_step: dict[str, Tensor] = {}
        self._has_batch_norm = bool(options.gradient_fn) and any(isinstance(m, BatchNorm) for m in module.modules())
        self._buffers: dict[str, Tensor] = {}  # before the running step, which may change them
        self._was_sparse = False  # a gradient that `gradient_fn` has replaced

    def before_forward(self) -> None:
        """Called before the user's step, at which a `gradient_fn` is evaluated later."""
        if self.options.gradient_fn is not None:
            self._buffers = {n: b.detach().clone() for n, b in self.module.named_buffers()}

    def gradient(
        self,
        batch: Any,
        batch_idx: int,
        examples: int,
        draws: RandomMode,
        optimizers: Sequence[Any],
        context: Callable[[], Any],
    ) -> dict[str, Tensor]:
        """The result of `gradient_fn` at the module's weights, by parameter name.

        Args:
            examples: samples in the batch.
        """
        lr = learning_rates(optimizers, self.parameters)[None]
        if not self._has_begun:
            self._held, self._has_begun = held_positions(optimizers, self.parameters), True
        if self._held is not None:
            lr = lr * self._held
        user_step = FunctionalStep(self.module, self.layout)
        weights = self.layout.read(self.module).weights[None].requires_grad_()
        counted = weights.new_full((1, 1), examples)
        step = OneClientStep(user_step, batch, batch_idx, draws, lr, context, self.samples, self._buffers, counted)
        step.least_part = 2 if self._has_batch_norm else 1
        extras = [with_row_axis(v) for v in self.options.extras]
        assert self.options.gradient_fn is not None
        gradient = self.options.gradient_fn(step, weights, *extras, **self.carry)
        if step.lr_was_read and self._rates_read is None:
            warn_of_rate_alone(self.module, optimizers)
        self._rates_read = group_rates(optimizers, self.parameters) if step.lr_was_read else None
        if self.carry:
            gradient, new_carry = gradient
            self.carry |= {  # no graph over the steps; as in a stack, a value keeps its type
                name: value.detach().to(self.carry[name]) for name, value in new_carry.items()
            }
        return self.layout.tensors(gradient.detach()[0])

    @property
    def reads_rates(self) -> bool:
        """Whether the last `gradient_fn` has read the learning rate."""
        return self._rates_read is not None

    def with_gradient(self, loss: Tensor) -> list[str]:
        """Names of the parameters on which the loss depends. The optimiser skips the others, their weight decay, too,
        as it does without a `gradient_fn`."""
        trained = {n: p for n, p in self.parameters.items() if p.requires_grad}
        gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
        self._was_sparse |= any(gradient is not None and gradient.is_sparse for gradient in gradients)
        return [n for n, gradient in zip(trained, gradients, strict=True) if gradient is not None]

    def before_step(self, optimizer: Any) -> None:
        """Adjust the gradients, and set those of weights that are not trainable to zero.

        Args:
            optimizer: the one that takes the step.
        """
        if self._was_sparse:
            self._check_takes_dense(optimizer)
        for name, p in self.parameters.items():
            if p.grad is None:
                continue
            if p.grad.is_sparse and self._needs_dense:
                self._check_takes_dense(optimizer)
                p.grad = p.grad.to_dense()
            if self.options.adjust_gradient is not None or self._trainable is not None:
                edited = self._edited(name, as_real(p.grad), as_real(p.detach()))
                p.grad = as_complex(edited) if p.is_complex() else edited
        if self._trainable is not None and not self._before_step:  # a step may evaluate its batch several times
            self._before_step = {n: p.detach().clone() for n, p in self.parameters.items()}

    def _edited(self, name: str, gradient: Tensor, weight: Tensor) -> Tensor:
        if self.options.adjust_gradient is not None:
            gradient = self.options.adjust_gradient(gradient, weight, *(extra[name] for extra in self._extras))
        return gradient if self._trainable is None else gradient * self._trainable[name]

    def _check_takes_dense(self, optimizer: Any) -> None:
        """
        Raises:
            InputError: the optimiser takes another step along a dense gradient than along the sparse one.
        """
        if type(getattr(optimizer, "optimizer", optimizer)) not in (torch.optim.SGD, torch.optim.Adagrad):
            why = "this algorithm" if self.options.any else "trainer.gradient_clip_val"
            raise InputError(
                f"{type(self.module).__name__} has sparse gradients, which {why} makes dense, and "
                f"{type(optimizer).__name__} takes another step along dense ones; write sparse=False in the embedding, "
                "or train by torch.optim.SGD, or by aggregator=fedavg without clipping."
            )

    def check_rates(self, applied: list[float]) -> None:
        """
        Args:
            applied: the `group_rates` of the step.

        Raises:
            InputError: they are not those that `gradient_fn` has read.
        """
        if self._rates_read is not None and self._rates_read != applied:
            raise InputError(
                f"{type(self.module).__name__} changes the learning rate between the backward pass and the end of the "
                "step, and this algorithm reads it in the backward pass (step.lr); change it in on_train_batch_start, "
                "or write aggregator=fedavg."
            )

    @torch.no_grad()
    def after_step(self) -> None:
        """Restore weights that are not trainable: weight decay changes them even without a gradient."""
        if self._trainable is None:
            return
        for name, old in self._before_step.items():
            restored = torch.where(self._trainable[name], as_real(self.parameters[name]), as_real(old))
            self.parameters[name].copy_(as_complex(restored) if old.is_complex() else restored)
        self._before_step = {}


def _one_row(mask: Tensor) -> Tensor:
    return mask[0] if mask.dim() > 1 else mask


def with_frozen_statistics(trained: Model, initial: Model, trainable: Model | None) -> Model:
    """The trained model with the initial statistics at the positions that are not trainable."""
    if trainable is None:
        return trained
    return Model(trained.weights, torch.where(trainable.statistics, trained.statistics, initial.statistics))
