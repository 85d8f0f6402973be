"""What a module does in one training step: tried once on a copy, before the run, and not looked up in its types."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import nn
from torch.nn import functional as F

from fedlit.errors import one_line
from fedlit.global_generators import generator_states, isolated_generators
from fedlit.modules.copies import copied
from fedlit.modules.keyed_draws import KeyedDraws
from fedlit.modules.replaced import replaced
from fedlit.modules.stand_in import StandIn, configured
from fedlit.modules.users_step import call_step, watching

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Habits:
    """What one step of a module showed."""

    last_layer: str | None = None  # name of the layer with parameters of its own that ran last
    keyed: bool = True  # it makes draws that `draws_table` keys, such as dropout
    draws: bool = True  # it draws from a global generator of torch, numpy or Python besides
    pads: bool = False  # it looks up embeddings of which one is padding, or might in a later step
    autocasts: bool = False  # it enters an autocast of its own
    trouble: str = field(default="", compare=False)  # why its step could not be tried


def probe(module: LightningModule, batch: Any) -> Habits:
    """The habits of `module` on a batch; the cautious answer where its step cannot run outside a Trainer."""
    tried = copied(module).train()
    names = {id(m): n for n, m in tried.named_modules()}
    watch = _Watch(0, 0, keyed=True, seed=False)
    with warnings.catch_warnings(), isolated_generators(0):
        warnings.simplefilter("ignore")
        before = generator_states()
        try:
            _give_trainer(tried)
            with torch.enable_grad(), watch, watch.autocast(), watching(tried, nn.Module, _has_weights) as seen:
                call_step(tried, batch, 0)
        except Exception as error:
            log.info("%s: its step cannot be tried outside a fit", type(module).__name__, exc_info=error)
            return Habits(trouble=one_line(error))
        drew = before != generator_states()
    pads = watch.pads or any(getattr(m, "padding_idx", None) is not None for m in tried.modules())
    return Habits(names[id(seen[-1][0])] if seen else None, watch.count > 0, drew, pads, watch.autocasts)


def _give_trainer(module: LightningModule) -> None:
    """A trainer in its first step of one, with the optimiser where it can be made; and the round, as each fit does."""
    if not hasattr(module, "round"):
        module.round = 0  # type: ignore[assignment]
    trainer = StandIn(1, lambda *args, **options: None)
    trainer.steps, trainer.batches = 0, 1
    trainer.attach(module)
    with suppress(Exception):
        optimizer, schedulers = configured(module)
        trainer.with_optimizers([optimizer], schedulers)


class _Watch(KeyedDraws):
    """Keyed draws that see what else the step does."""

    pads = autocasts = False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.embedding and (args[2:3] or ((kwargs or {}).get("padding_idx"),)) != (None,):
            self.pads = True
        return super().__torch_function__(function, types, args, kwargs)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        torchs = torch.autocast.__enter__

        def enter(context: Any) -> Any:
            self.autocasts = True
            return torchs(context)

        with replaced(torch.autocast, "__enter__", enter):
            yield


def _has_weights(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters(recurse=False))
