"""What a module does in one training step: tried once on a copy, before the run, and not looked up in its types."""

from __future__ import annotations

import copy
import logging
import random
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import nn

from fedlit.modules.keyed_draws import KeyedDraws, own_generators
from fedlit.modules.users_step import call_step, watching

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Habits:
    """What one step of a module showed."""

    last_layer: str | None = None  # name of the layer with parameters of its own that ran last
    keyed: bool = True  # it makes draws that `draws_table` keys, such as dropout
    draws: bool = True  # it draws from a global generator of torch, numpy or Python besides


def probe(module: LightningModule, batch: Any) -> Habits:
    """The habits of `module` on a batch; the cautious answer where its step cannot run outside a Trainer."""
    copied = copy.deepcopy(module).train()
    copied.log = lambda *args, **options: None  # type: ignore[method-assign]
    names = {id(m): n for n, m in copied.named_modules()}
    keyed = KeyedDraws(0, 0, keyed=True, seed=False)
    with warnings.catch_warnings(), own_generators(0):
        warnings.simplefilter("ignore")
        before = _generators()
        try:
            with torch.no_grad(), keyed, watching(copied, nn.Module, _has_weights) as seen:
                call_step(copied, batch, 0)
        except Exception as error:
            log.info("%s: its step cannot be tried outside a fit", type(module).__name__, exc_info=error)
            return Habits()
        drew = before != _generators()
    return Habits(names[id(seen[-1][0])] if seen else None, keyed.count > 0, drew)


def _has_weights(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters(recurse=False))


def _generators() -> tuple[Any, ...]:
    words = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), repr(words), random.getstate()
