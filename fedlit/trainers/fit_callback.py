"""One fit of one client, seen from inside: the algorithm's hand on the gradients, and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from fedlit import interrupts
from fedlit.client import Correct, Fitted, Rule, Step
from fedlit.errors import InputError
from fedlit.model_vectors import Layout, Model
from fedlit.modules.keyed_draws import KeyedDraws
from fedlit.modules.probe import Habits
from fedlit.modules.users_step import StepAt, call_step, loss_of, part_of, targets_of


@dataclass
class Gradient:
    """What an algorithm wants of the gradients (see `Client.fit`)."""

    correct: Correct | None
    using: Sequence[Tensor]
    only: Model | None
    rule: Rule | None
    beside: dict[str, Tensor]

    @property
    def shaped(self) -> bool:
        return self.correct is not None or self.only is not None or self.rule is not None


class OneStep(Step):
    """A Step of one client on a Trainer."""

    def __init__(
        self, at: StepAt, batch: Any, batch_idx: int, draws: KeyedDraws, lr: Tensor, context: Callable[[], Any]
    ):
        self.at, self.batch, self.batch_idx, self.draws, self.lr, self.context = (
            at,
            batch,
            batch_idx,
            draws,
            lr,
            context,
        )

    def _at(self, what: str, weights: Tensor, batch: Any) -> Tensor:
        spare = {n: b.clone() for n, b in self.at.module.named_buffers()}
        with self.context():
            tensors = self.at.layout.pieces(weights[0]) | spare
            return self.at.swapped(tensors, what, batch, self.batch_idx, self.draws)[None]

    def loss(self, weights: Tensor, part: tuple[int, int] = (0, 1)) -> Tensor:
        return self._at("loss", weights, part_of(self.batch, part, 0))

    def features(self, weights: Tensor) -> Tensor:
        return self._at("features", weights, self.batch)

    def outputs(self, weights: Tensor) -> Tensor:
        return self._at("outputs", weights, self.batch)

    @property
    def targets(self) -> Tensor:
        return targets_of(self.batch)[None]


class FitCallback(pl.Callback):
    """Also stands in for the module's `training_step`, to key its draws, and, under a rule, for its `backward`: there
    the rule's gradient goes in, so that logging, clipping, precision and accumulation stay Lightning's."""

    def __init__(
        self,
        module: pl.LightningModule,
        layout: Layout,
        habits: Habits,
        gradient: Gradient,
        key: int,
        kept_optimizer: dict[str, Any] | None,
        after_epoch: Callable[[float], None] | None,
    ):
        self.module, self.layout, self.gradient, self.key = module, layout, gradient, key
        self.habits, self.kept_optimizer, self.after_epoch = habits, kept_optimizer, after_epoch
        self.named = {n: p for n, p in module.named_parameters() if n in layout.weights}
        one = [v[0] if v.dim() > 1 else v for v in gradient.using]
        self.pieces = [layout.pieces(v) for v in one] if gradient.correct else []
        self.only = layout.pieces(gradient.only.weights) if gradient.only is not None else None
        self.beside = dict(gradient.beside)
        self.losses: list[Tensor] = []
        self.rates: list[Tensor] = []
        self.epoch_begin = 0
        self.batches = 0  # seen so far: the number of a batch in the fit keys its draws
        self.before: dict[str, Tensor] = {}
        self.logged: dict[str, float] = {}
        self.optimizer_state: dict[str, Any] = {}

    # --- the module's own methods, during the fit -------------------------------------------------------------------
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.batch, self.batch_idx = batch, batch_idx
        with self._draws():
            output = call_step(self.module, batch, batch_idx)
        loss = loss_of(output)
        if torch.is_tensor(loss):
            self.losses.append(loss.detach())
        return output

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        trainer = self.module.trainer
        plugin = trainer.precision_plugin
        lr = learning_rates(trainer.optimizers, self.named)[None]
        at = StepAt(self.module, self.layout)
        step = OneStep(at, self.batch, self.batch_idx, self._draws(), lr, plugin.forward_context)
        weights = self.layout.read(self.module).weights[None].requires_grad_()
        using = [v if v.dim() > 1 else v[None] for v in self.gradient.using]
        assert self.gradient.rule is not None
        gradient = self.gradient.rule(step, weights, *using, **self.beside)
        if self.beside:
            gradient, new = gradient
            self.beside |= new
        # the factor that Lightning has put on the loss; a parameter the loss does not touch gets none and so no decay
        scaler = getattr(plugin, "scaler", None)
        factor = (scaler.get_scale() if scaler is not None else 1.0) / trainer.accumulate_grad_batches
        touched = torch.autograd.grad(loss, list(self.named.values()), allow_unused=True)
        for (name, p), plain in zip(self.named.items(), touched, strict=True):
            if plain is not None:
                piece = (factor * self.layout.pieces(gradient.detach()[0])[name]).to(p.dtype)
                p.grad = piece if p.grad is None else p.grad + piece

    def _draws(self) -> KeyedDraws:
        return KeyedDraws(self.key, self.batches, self.habits.keyed, self.habits.draws)

    # --- hooks -------------------------------------------------------------------------------------------------------
    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        several = len(trainer.optimizers) != 1
        if self.gradient.shaped and (several or not module.automatic_optimization):
            how = "several optimisers" if several else "manual optimisation"
            raise InputError(
                f"{type(module).__name__} has {how}, and this algorithm works on the gradients of one automatic "
                "optimiser; write aggregator=fedavg, which needs no gradients, or give the module one optimiser"
            )
        if self.gradient.rule is not None and type(module).backward is not pl.LightningModule.backward:
            raise InputError(
                f"{type(module).__name__} has a backward of its own, and this algorithm puts its gradient there; "
                "leave it out, or write aggregator=fedavg"
            )
        if self.kept_optimizer:
            for optimizer in trainer.optimizers:
                put_state(optimizer, self.named, self.kept_optimizer)

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        interrupts.check()

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Any) -> None:
        """After unscaling and before clipping; once a step, also under accumulation."""
        self.rates.append(learning_rates([optimizer], self.named))
        for name, p in self.named.items():
            if p.grad is None:
                continue
            if self.gradient.correct is not None:
                p.grad = self.gradient.correct(p.grad, p.detach(), *(piece[name] for piece in self.pieces))
            if self.only is not None:
                p.grad = p.grad * self.only[name]
        if self.only is not None:
            self.before = {n: p.detach().clone() for n, p in self.named.items()}

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.batches += 1
        if self.only is None:
            return
        with torch.no_grad():  # weight decay moves what has no gradient: put it back
            for name, old in self.before.items():
                self.named[name].copy_(torch.where(self.only[name], self.named[name], old))
        self.before = {}

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.after_epoch is not None:
            self.after_epoch(_mean(self.losses[self.epoch_begin :]))
            self.epoch_begin = len(self.losses)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.logged = {n: float(v) for n, v in trainer.callback_metrics.items() if v.numel() == 1}
        for optimizer in trainer.optimizers:
            self.optimizer_state |= get_state(optimizer, self.named)

    # --- results ---------------------------------------------------------------------------------------------------
    @property
    def steps(self) -> int:
        return len(self.rates)

    def fitted(self, model: Model) -> Fitted:
        new = model.weights.new_tensor
        rate = torch.stack(self.rates).sum(0)[None] if self.rates else model.weights.new_zeros(1, 1)
        return Fitted(model, new([[self.steps]]), rate.to(model.weights), new([[_mean(self.losses)]]), self.beside)


def _mean(losses: list[Tensor]) -> float:
    return float(torch.stack(losses).double().mean()) if losses else float("nan")


def learning_rates(optimizers: Sequence[Any], named: Mapping[str, Tensor]) -> Tensor:
    """The learning rates now: (1,) where all parameters share one, else (P,)."""
    groups = [g for o in optimizers for g in o.param_groups]
    first = next(iter(named.values()))
    rates = {float(g["lr"]) for g in groups}
    if len(rates) == 1:
        return first.new_tensor([rates.pop()])
    by_id = {id(p): float(g["lr"]) for g in groups for p in g["params"]}
    return torch.cat([first.new_full((p.numel(),), by_id.get(id(p), 0.0)) for p in named.values()])


def get_state(optimizer: Any, named: Mapping[str, Tensor]) -> dict[str, Any]:
    """An optimiser's state: parameter's name -> key -> tensor."""
    state = {n: optimizer.state[p] for n, p in named.items() if p in optimizer.state}
    return {
        n: {k: torch.as_tensor(v).detach().clone() for k, v in s.items() if v is not None} for n, s in state.items()
    }


def put_state(optimizer: Any, named: Mapping[str, Tensor], state: dict[str, Any]) -> None:
    """What `get_state` gave, into a new optimiser of the same kind."""
    mine = {id(p) for g in optimizer.param_groups for p in g["params"]}
    for name, values in state.items():
        if id(named[name]) in mine:
            optimizer.state[named[name]] = {k: v.clone() for k, v in values.items()}
