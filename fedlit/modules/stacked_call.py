"""The user's step for a stack of clients in one call: `torch.func.vmap` over weights, buffers, batch and draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor
from torch.func import vmap

from fedlit.model_vectors import Layout
from fedlit.modules.keyed_draws import KeyedDraws
from fedlit.modules.step_log import StepLog
from fedlit.modules.users_step import StepAt


class StackedCall:
    """
    Args:
        keyed: the step makes draws, which are keyed by client and step.
        mended: run the step under what mends vmap's gaps; it costs a look at every torch function, and most modules
            need it not.
    """

    def __init__(self, module: LightningModule, layout: Layout, keyed: bool, mended: bool):
        self.at, self.keyed, self.mended = StepAt(module, layout), keyed, mended
        self._buffers = [*layout.statistics, *layout.counters]

    def __call__(
        self,
        what: str,
        weights: dict[str, Tensor],
        buffers: dict[str, Tensor],
        batch: Any,
        batch_idx: int,
        keys: Tensor | None,
        steps: Tensor | None,
        log: StepLog | None = None,
        twice: bool = False,
    ) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        """
        Args:
            what: "loss", or "features" or "outputs" of the linear layer that runs last.
            weights: (n, *shape) by name.
            buffers: (n, *shape) by name, each contiguous; written in place by the step.
            batch: every tensor (n, B, ...).
            keys, steps: (n,) int64, of the draws; None where there are none.
            twice: the result is differentiated twice.

        Returns:
            The value (n, ...), the buffers after the step, and what was logged, (n,) a name.
        """

        def one(tensors: dict[str, Tensor], batch: Any, key: Any, step: Any) -> Any:
            tensors = dict(tensors)
            draws = KeyedDraws(key, step, self.keyed, seed=False, stacked=self.mended, twice=twice)
            value = self.at.swapped(tensors, what, batch, batch_idx, draws)
            return value, {n: tensors[n] for n in self._buffers if n in tensors}, log.taken() if log else {}

        stacked: Sequence[int | None] = (0, 0, 0, 0) if keys is not None else (0, 0, None, None)
        key, step = (keys, steps) if keys is not None else (0, 0)
        found: Any = vmap(one, in_dims=tuple(stacked))(weights | buffers, batch, key, step)
        return found
