"""The callback inside one client's `Trainer.fit`: it keys draws, edits gradients, and counts steps and losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from fedlit import interrupts
from fedlit.data.client_data import ClientData
from fedlit.errors import InputError
from fedlit.global_generators import has_drawn_since
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.learning_rates import ScaledRates
from fedlit.torch_patches.double_backward import DOUBLE_BACKWARD
from fedlit.training.fit_tally import FitTally
from fedlit.training.gradient import GradientEditor, GradientOptions
from fedlit.training.lightning.step_recorder import record_steps
from fedlit.training.lightning.validation_pass import ValidationPass
from fedlit.training.module_host import ModuleHost
from fedlit.training.optimizer_state import load_optimizer_state, optimizer_state
from fedlit.user_module.training_step import call_step, loss_of


class FitCallback(pl.Callback):
    """Its `training_step` replaces the module's, to key the draws. Under a `gradient_fn` its `backward` replaces the
    module's and writes the algorithm's gradient; logging, clipping, precision and accumulation stay Lightning's.

    Args:
        data: the client's batches.
        key: of the draws in the step.
        kept_optimizer: the initial state of the optimiser; None: a new one.
        after_epoch: called with the epoch's mean loss.
        validation: the validation passes; None: there are none.
    """

    def __init__(
        self,
        host: ModuleHost,
        options: GradientOptions,
        data: ClientData,
        key: int,
        kept_optimizer: dict[str, Any] | None,
        after_epoch: Callable[[float], None] | None,
        validation: ValidationPass | None = None,
    ):
        self.host, self.module, self.options, self.data, self.key = host, host.module, options, data, key
        self.traits, self.prepare = host.traits, host.formatted
        self.kept_optimizer, self.after_epoch, self.validation = kept_optimizer, after_epoch, validation
        clips = bool(host.options.gradient_clip_val)
        self.editor = GradientEditor(options, host.module, host.layout, host.data.train, clips)
        self.tally = FitTally(self.editor.parameters, host.options.keep_optimizer_state, host.tracked.check_stepped)
        self.batches = 0  # batches so far: the number of a batch in the fit keys its draws
        self._is_evaluated = False  # the current batch
        self._rates: ScaledRates | None = None
        self.logged: dict[str, float] = {}
        self.optimizer_state: dict[str, Any] = {}

    def __deepcopy__(self, memo: Any) -> FitCallback:
        """Itself: a callback that copies the module (an average of weights) must not copy the host and the data."""
        return self

    # --- the module's own methods, during the fit -------------------------------------------------------------------
    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.batch, self.batch_idx = self.prepare(batch), batch_idx
        self.editor.before_forward()
        with self._draws():
            output = call_step(self.module, self.batch, batch_idx)
        loss = loss_of(output)
        if torch.is_tensor(loss) and not self._is_evaluated:  # LBFGS evaluates a batch several times
            self.tally.add_loss(loss)
        self._is_evaluated = True
        return output

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        trainer, parameters = self.module.trainer, self.editor.parameters
        plugin = trainer.precision_plugin
        draws = self._draws(differentiated_twice=True)
        examples = self.data.length(trainer.current_epoch, self.batch_idx)
        pieces = self.editor.gradient(
            self.batch, self.batch_idx, examples, draws, trainer.optimizers, plugin.forward_context
        )
        if trainer.accumulate_grad_batches > 1 and self.editor.reads_rates:
            raise InputError(
                f"trainer.accumulate_grad_batches={trainer.accumulate_grad_batches}: a step follows several batches, "
                "and this algorithm takes a step of its own with each batch (step.lr); write "
                "trainer.accumulate_grad_batches=1, or aggregator=fedavg."
            )
        # Lightning has multiplied the loss by this factor, and later divides the gradients by the scale
        scaler = getattr(plugin, "scaler", None)
        factor = (scaler.get_scale() if scaler is not None else 1.0) / trainer.accumulate_grad_batches
        for name in self.editor.with_gradient(loss):
            p, piece = parameters[name], (factor * pieces[name]).to(parameters[name].dtype)
            p.grad = piece if p.grad is None else p.grad + piece

    def _draws(self, differentiated_twice: bool = False) -> RandomMode:
        patches = (DOUBLE_BACKWARD,) if differentiated_twice else ()
        return RandomMode(self.key, self.batches, self.traits.uses_keyed_rng, self.traits.uses_global_rng, patches)

    # --- hooks --------------------------------------------------------------------------------
    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        several = len(trainer.optimizers) != 1
        if self.options.any and (several or not module.automatic_optimization):
            how = "several optimisers" if several else "manual optimisation"
            raise InputError(
                f"{type(module).__name__} has {how}, and this algorithm works on the gradients of one automatic "
                "optimiser; write aggregator=fedavg, which needs no gradients, or give the module one optimiser"
            )
        if self.options.gradient_fn is not None and type(module).backward is not pl.LightningModule.backward:
            raise InputError(
                f"{type(module).__name__} has a backward of its own, and this algorithm puts its gradient there; "
                "leave it out, or write aggregator=fedavg"
            )
        check_scaled(getattr(trainer.precision_plugin, "scaler", None), trainer.optimizers, module)
        self._rates = ScaledRates(type(module).__name__, trainer.optimizers, _schedulers(trainer), self.host.lr_factor)
        self.host.tracked.check_setup(lambda: has_drawn_since(self.key))
        self.tally.begin(trainer.optimizers)
        for optimizer in trainer.optimizers:
            begin, end = partial(self.tally.add_step, [optimizer]), partial(self._end_step, optimizer)
            record_steps(optimizer, begin, end, partial(self._evaluate_again, optimizer))
            if self.kept_optimizer:
                load_optimizer_state(optimizer, self.editor.parameters, self.kept_optimizer)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.tally.begin_epoch()

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        interrupts.check()

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Any) -> None:
        """Lightning calls this after unscaling and before clipping, and under accumulation once a step."""
        self.editor.before_step(optimizer)

    def _evaluate_again(self, optimizer: Any) -> None:
        """Called before a step evaluates its batch a second time.

        Raises:
            InputError: the algorithm changes gradients. The optimiser would take losses for those of other gradients.
        """
        if self.options.adjust_gradient is not None or self.options.gradient_fn is not None:
            raise InputError(
                f"{type(optimizer).__name__}, the optimiser of {type(self.module).__name__}, evaluates a batch several "
                "times a step, and this algorithm changes the gradient of a step; train with another optimiser, "
                "such as SGD or Adam, or write aggregator=fedavg."
            )

    def _end_step(self, optimizer: Any) -> None:
        self.tally.end_step([optimizer])
        self.editor.check_rates(self.tally.last_group_rates)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.batches += 1
        self._is_evaluated = False
        self.editor.after_step()
        if self.validation is not None:
            self.validation.note_training_step()

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.validation is not None:
            self.validation.begin(trainer)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.validation is not None:
            self.validation.end(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if self.after_epoch is not None:
            self.after_epoch(self.tally.epoch_loss)

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        values = trainer.callback_metrics if self.validation is None else self.validation.training_values(trainer)
        if self._rates is not None:
            self._rates.check_end(trainer.optimizers, _schedulers(trainer))
        self.logged = {n: float(v) for n, v in values.items() if v.numel() == 1}
        for optimizer in trainer.optimizers if self.host.options.keep_optimizer_state else ():
            self.optimizer_state |= optimizer_state(optimizer, self.editor.parameters)


def _schedulers(trainer: pl.Trainer) -> list[Any]:
    return [config.scheduler for config in trainer.lr_scheduler_configs]


def check_scaled(scaler: Any, optimizers: Sequence[Any], module: pl.LightningModule) -> None:
    """
    Args:
        scaler: of losses; None: there is none.

    Raises:
        InputError: losses are scaled, and the optimiser is LBFGS.
    """
    if scaler is not None and any(isinstance(optimizer, torch.optim.LBFGS) for optimizer in optimizers):
        raise InputError(
            f"trainer.precision=16-mixed: losses are scaled, and LBFGS, the optimiser of {type(module).__name__}, "
            "needs their values; write trainer.precision=bf16-mixed or 32-true."
        )
