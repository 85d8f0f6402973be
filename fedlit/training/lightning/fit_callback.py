"""One fit of one client, seen from inside the Trainer: the algorithm's hand on the gradients, and what is counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from fedlit import interrupts
from fedlit.client import Fitted
from fedlit.errors import InputError
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.model_vectors import Layout, Model
from fedlit.training.fit_tally import FitTally
from fedlit.training.gradient import Gradient, GradientEditor, learning_rates
from fedlit.user_module.probe import StepTraits
from fedlit.user_module.training_step import call_step, loss_of


class FitCallback(pl.Callback):
    """Also stands in for the module's `training_step`, to key its draws, and, under a rule, for its `backward`: there
    the rule's gradient goes in, so that logging, clipping, precision and accumulation stay Lightning's."""

    def __init__(
        self,
        module: pl.LightningModule,
        layout: Layout,
        traits: StepTraits,
        gradient: Gradient,
        key: int,
        prepare: Callable[[Any], Any],
        kept_optimizer: dict[str, Any] | None,
        after_epoch: Callable[[float], None] | None,
    ):
        self.module, self.gradient, self.key, self.traits, self.prepare = module, gradient, key, traits, prepare
        self.kept_optimizer, self.after_epoch = kept_optimizer, after_epoch
        self.hand = GradientEditor(gradient, module, layout)
        self.tally = FitTally(self.hand.named)
        self.batches = 0  # seen so far: the number of a batch in the fit keys its draws
        self.logged: dict[str, float] = {}
        self.optimizer_state: dict[str, Any] = {}

    # --- the module's own methods, during the fit -------------------------------------------------------------------
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.batch, self.batch_idx = self.prepare(batch), batch_idx
        with self._draws():
            output = call_step(self.module, self.batch, batch_idx)
        loss = loss_of(output)
        if torch.is_tensor(loss):
            self.tally.add_loss(loss)
        return output

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        trainer, named = self.module.trainer, self.hand.named
        plugin = trainer.precision_plugin
        lr = learning_rates(trainer.optimizers, named)[None]
        pieces = self.hand.by_rule(self.batch, self.batch_idx, self._draws(twice=True), lr, plugin.forward_context)
        # the factor that Lightning has put on the loss; a parameter the loss does not touch gets none and so no decay
        scaler = getattr(plugin, "scaler", None)
        factor = (scaler.get_scale() if scaler is not None else 1.0) / trainer.accumulate_grad_batches
        touched = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
        for (name, p), plain in zip(named.items(), touched, strict=True):
            if plain is not None:
                piece = (factor * pieces[name]).to(p.dtype)
                p.grad = piece if p.grad is None else p.grad + piece

    def _draws(self, twice: bool = False) -> RandomMode:
        return RandomMode(self.key, self.batches, self.traits.uses_keyed_rng, self.traits.uses_global_rng, twice=twice)

    # --- hooks --------------------------------------------------------------------------------
    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        several = len(trainer.optimizers) != 1
        if self.gradient.shaped and (several or not module.automatic_optimization):
            how = "several optimisers" if several else "manual optimisation"
            raise InputError(
                f"{type(module).__name__} has {how}, and this algorithm works on the gradients of one automatic "
                "optimiser; write aggregator=fedavg, which needs no gradients, or give the module one optimiser"
            )
        if self.gradient.gradient_fn is not None and type(module).backward is not pl.LightningModule.backward:
            raise InputError(
                f"{type(module).__name__} has a backward of its own, and this algorithm puts its gradient there; "
                "leave it out, or write aggregator=fedavg"
            )
        if self.kept_optimizer:
            for optimizer in trainer.optimizers:
                put_state(optimizer, self.hand.named, self.kept_optimizer)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.tally.begin_epoch()

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        interrupts.check()

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Any) -> None:
        """After unscaling and before clipping; once a step, also under accumulation."""
        self.tally.add_step([optimizer])
        self.hand.before_step()

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.batches += 1
        self.hand.after_step()

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.after_epoch is not None:
            self.after_epoch(self.tally.epoch_loss)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.logged = {n: float(v) for n, v in trainer.callback_metrics.items() if v.numel() == 1}
        for optimizer in trainer.optimizers:
            self.optimizer_state |= get_state(optimizer, self.hand.named)

    # --- results --------------------------------------------------------------------------------
    def fitted(self, model: Model) -> Fitted:
        return fitted(model, self.tally, self.hand)


def fitted(model: Model, tally: FitTally, hand: GradientEditor) -> Fitted:
    """What a fit of one client gives."""
    new = model.weights.new_tensor
    rate = tally.rate_sum[None].to(model.weights)
    return Fitted(model, new([[tally.steps]]), rate, new([[tally.loss]]), hand.carry)


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
