"""A batch of some rows of a stack as an algorithm's functions see it, in a fit or in `Client.collect`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from fedlit.data import Samples
from fedlit.training.batch_step import BatchStep, NoLoss
from fedlit.training.stacked.stacked_call import StackedCall


class StackedStep(BatchStep):
    """
    Args:
        call: the user's step.
        context: in which the user's step runs.
        draws: keys and step numbers of the draws in the user's step; empty where it makes none.
        buffers: (n, *shape) by name, at which the step is evaluated.
        draw_keys: returns the keys (n,) of the algorithm's draws for a purpose.
    """

    axis = 1

    def __init__(
        self,
        call: StackedCall,
        context: Callable[[], Any],
        draws: tuple[Tensor, Tensor] | tuple[()],
        buffers: dict[str, Tensor],
        draw_keys: Callable[[str], Tensor],
        batch: Any,
        batch_idx: int,
        lr: Tensor | None,
        samples: Samples,
        examples: Tensor,
        numbers: np.ndarray,
    ):
        super().__init__(batch, batch_idx, lr, samples, examples, numbers)
        self._call, self._context, self._step_draws = call, context, draws
        self._buffers, self._keys = buffers, draw_keys

    def _evaluate(self, quantity: str, weights: Tensor, batch: Any) -> Tensor:
        buffers = {n: b.clone() for n, b in self._buffers.items()}
        pieces = self._call.step.layout.pieces(weights)
        with self._context():
            value, _, _ = self._call(
                quantity, pieces, buffers, batch, self.batch_idx, *self._step_draws, differentiated_twice=True
            )
        if value is None:
            raise NoLoss("training_step returned None")
        return value

    def _draw_keys(self, what: str) -> Tensor:
        return self._keys(what)
