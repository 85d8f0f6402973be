"""Traits of a module's training step, from one step of a copy before the run."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import nn
from torch.nn import functional as F

from fedlit.errors import one_line
from fedlit.global_generators import generator_states, isolated_generators
from fedlit.keyed_random.random_mode import RandomMode
from fedlit.user_module.module_snapshot import copied
from fedlit.user_module.trainer_stub import TrainerStub, configured
from fedlit.user_module.training_step import call_step, recorded_calls

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepTraits:
    """What one step of a module does. The defaults are the cautious answers."""

    last_layer: str | None = None  # name of the layer with parameters of its own that ran last
    uses_keyed_rng: bool = True  # it makes draws that `random_ops` keys, such as dropout
    uses_global_rng: bool = True  # it draws from a global generator of torch, numpy or Python in another way
    uses_padding: bool = False  # it looks up embeddings with a padding index, or may do so in a later step
    uses_autocast: bool = False  # it enters an autocast of its own
    failure: str = field(default="", compare=False)  # why the step could not run


def probe(
    module: LightningModule, batch: Any, data_for: Callable[[Any], LightningDataModule] | None = None
) -> StepTraits:
    """The traits of `module` on a batch; the cautious answers where its step cannot run outside a Trainer.

    Args:
        data_for: returns the data of a trainer; None: it has none.
    """
    trial = copied(module).train()
    names = {id(m): n for n, m in trial.named_modules()}
    watch = _Watch(0, 0, keyed=True, seed=False)
    with warnings.catch_warnings(), isolated_generators(0):
        warnings.simplefilter("ignore")
        states_before = generator_states()
        try:
            attach_stub(trial, data_for)
            with torch.enable_grad(), watch, watch.autocast(), recorded_calls(trial, nn.Module, _has_weights) as calls:
                call_step(trial, batch, 0)
        except Exception as error:
            log.info("%s: its step cannot be tried outside a fit", type(module).__name__, exc_info=error)
            return StepTraits(failure=one_line(error))
        uses_global_rng = states_before != generator_states()
    uses_padding = watch.uses_padding or any(getattr(m, "padding_idx", None) is not None for m in trial.modules())
    last_layer = names[id(calls[-1][0])] if calls else None
    return StepTraits(last_layer, watch.count > 0, uses_global_rng, uses_padding, watch.uses_autocast)


def attach_stub(module: LightningModule, data_for: Callable[[Any], LightningDataModule] | None) -> None:
    """A trainer in its only step, with the optimiser where it can be made; and the round, as each fit sets it."""
    if not hasattr(module, "round"):
        module.round = 0  # type: ignore[assignment]
    trainer = TrainerStub(1, lambda *args, **options: None)
    trainer.steps, trainer.batches = 0, 1
    if data_for is not None:
        trainer.with_data(data_for(trainer))
    trainer.attach(module)
    with suppress(Exception):
        optimizer, schedulers = configured(module)
        trainer.with_optimizers([optimizer], schedulers)


class _Watch(RandomMode):
    """Keyed draws that record what else the step does."""

    uses_padding = uses_autocast = False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.embedding and (args[2:3] or ((kwargs or {}).get("padding_idx"),)) != (None,):
            self.uses_padding = True
        return super().__torch_function__(function, types, args, kwargs)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        original = torch.autocast.__enter__

        def enter(context: Any) -> Any:
            self.uses_autocast = True
            return original(context)

        with patch.object(torch.autocast, "__enter__", enter):
            yield


def _has_weights(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters(recurse=False))
