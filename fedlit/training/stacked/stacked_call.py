"""The user's step for a stack of clients in one call: `torch.func.vmap` over weights, buffers, batch and draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.func import vmap
from torch.utils import _pytree as pytree

from fedlit.keyed_random.random_mode import RandomMode
from fedlit.model_vectors import Layout
from fedlit.training.stacked.step_log import StepLog
from fedlit.user_module.training_step import FunctionalStep


class StackedCall:
    """
    Args:
        keyed: the step makes draws, which are keyed by client and step.
        mended: run the step under what mends vmap's gaps; it costs a look at every torch function, and most modules
            need it not.
    """

    def __init__(self, module: LightningModule, layout: Layout, keyed: bool, patch_vmap: bool):
        self.at, self.keyed, self.patch_vmap = FunctionalStep(module, layout), keyed, patch_vmap

    def __call__(
        self,
        what: str,
        weights: dict[str, Tensor],
        buffers: dict[str, Tensor],
        batch: Any,
        batch_idx: int,
        keys: Tensor | None = None,
        steps: Tensor | None = None,
        *,
        log: StepLog | None = None,
        twice: bool = False,
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """
        Args:
            what: as in `StepAt.swapped`.
            weights: (n, *shape) by name.
            buffers: (n, *shape) by name, each contiguous; written in place by the step.
            batch: every tensor (n, B, ...).
            keys, steps: (n,) int64, of the draws; None where there are none.
            twice: the result is differentiated twice.

        Returns:
            The value (n, ...), the buffers after the step, and what was logged, (n,) a name.
        """

        names = [*weights, *buffers]

        def one(tensors: Sequence[Tensor], batch: Any, key: Any, step: Any) -> Any:
            named = dict(zip(names, tensors, strict=True))
            draws = RandomMode(key, step, self.keyed, seed=False, stacked=self.patch_vmap, twice=twice)
            value = self.at.swapped(named, what, batch, batch_idx, draws)
            return value, {n: named[n] for n in buffers}, log.taken() if log else {}

        tensors = (*weights.values(), *buffers.values())
        key, step = (keys, steps) if keys is not None else (0, 0)
        found: Any
        if (
            len(tensors[0]) == 1 and not self.patch_vmap
        ):  # a stack of one needs no vmap, which costs more than a small step
            everything = pytree.tree_map(_first, (tensors, batch, key, step))
            found = pytree.tree_map(_stacked, one(*everything))
        else:
            axes = (0, 0, 0, 0) if keys is not None else (0, 0, None, None)
            found = vmap(one, in_dims=axes)(tensors, batch, key, step)
        return found


def _first(value: Any) -> Any:
    return value.squeeze(0) if torch.is_tensor(value) else value


def _stacked(value: Any) -> Any:
    return value.unsqueeze(0) if torch.is_tensor(value) else value
