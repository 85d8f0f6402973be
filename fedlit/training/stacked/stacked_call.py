"""The user's step for a stack of clients in one call: `torch.func.vmap` over weights, buffers, batch and draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.func import vmap

from fedlit.keyed_random.random_mode import Patch, RandomMode
from fedlit.model_vectors import Layout
from fedlit.torch_compat import pytree
from fedlit.torch_patches.double_backward import DOUBLE_BACKWARD
from fedlit.torch_patches.vmap_patches import VMAP
from fedlit.training.stacked.step_log import StepLog
from fedlit.user_module.training_step import FunctionalStep


class StackedCall:
    """
    Args:
        keyed: the step makes draws, which are keyed by client and step.
        patch_vmap: run the step under the patch `VMAP`. Most modules do not need it, and it intercepts every torch
            function.
    """

    def __init__(self, module: LightningModule, layout: Layout, keyed: bool, patch_vmap: bool):
        self.step, self.keyed, self.patch_vmap = FunctionalStep(module, layout), keyed, patch_vmap

    def __call__(
        self,
        quantity: str,
        weights: dict[str, Tensor],
        buffers: dict[str, Tensor],
        batch: Any,
        batch_idx: int,
        keys: Tensor | None = None,
        steps: Tensor | None = None,
        *,
        log: StepLog | None = None,
        differentiated_twice: bool = False,
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """
        Args:
            quantity: as in `FunctionalStep.evaluate`.
            weights: (n, *shape) by name.
            buffers: (n, *shape) by name, each contiguous; written in place by the step.
            batch: every tensor (n, B, ...).
            keys, steps: (n,) int64, of the draws; None where there are none.

        Returns:
            The value (n, ...), the buffers after the step, and the logged values, name -> (n,).
        """
        names = [*weights, *buffers]
        patches: tuple[Patch, ...] = (VMAP,) if self.patch_vmap else ()
        patches += (DOUBLE_BACKWARD,) if differentiated_twice else ()

        def one_client(tensors: Sequence[Tensor], batch: Any, key: Any, step: Any) -> Any:
            named = dict(zip(names, tensors, strict=True))
            draws = RandomMode(key, step, self.keyed, seed=False, patches=patches)
            value = self.step.evaluate(named, quantity, batch, batch_idx, draws)
            return value, {n: named[n] for n in buffers}, log.current_values() if log else {}

        tensors = (*weights.values(), *buffers.values())
        key, step = (keys, steps) if keys is not None else (0, 0)
        outputs: Any
        if len(tensors[0]) == 1 and not self.patch_vmap:  # for one client vmap costs more than a small step
            outputs = pytree.tree_map(_unsqueezed, one_client(*pytree.tree_map(_squeezed, (tensors, batch, key, step))))
        else:
            axes = (0, 0, 0, 0) if keys is not None else (0, 0, None, None)
            outputs = vmap(one_client, in_dims=axes)(tensors, batch, key, step)
        return outputs


def _squeezed(value: Any) -> Any:
    return value.squeeze(0) if torch.is_tensor(value) else value


def _unsqueezed(value: Any) -> Any:
    return value.unsqueeze(0) if torch.is_tensor(value) else value
