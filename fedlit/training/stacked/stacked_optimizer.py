"""The user's optimiser over the weights of a stack of clients, (K, P), stepped for some rows at a time.

An elementwise optimiser can step parameters that have a leading client axis. Rows may differ in the number of steps
that they have taken (Adam's bias correction, momentum's first step) and, under a scheduler, in their learning rates.
SGD, Adam and AdamW are written out with one value a row, so that one call steps all rows. Any other elementwise
optimiser runs its own `step`, once for each group of rows that are equal in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import SGD, Adam, AdamW

from fedlit.training.stacked.groupwise_optimizer import GroupwiseOptimizer, is_elementwise
from fedlit.training.stacked.optimizer_rows import RowOptions, StackedOptimizer
from fedlit.training.stacked.rowwise_optimizers import RowwiseAdam, RowwiseSgd


def stacked_optimizer(optimizers: Sequence[Any], clients: int) -> StackedOptimizer:
    """
    Args:
        optimizers: the user's optimiser, configured once for all clients or once for each.

    Raises:
        TypeError: it is not elementwise, or it has hooks, which would be called for all rows at once or not at all.
    """
    options, first = RowOptions(optimizers), optimizers[0]
    patched_step = vars(first).get("step")
    if patched_step is not None and not hasattr(patched_step, "_wrapped_by_lr_sched"):
        raise TypeError("the optimiser's step is monkey-patched")
    if first._optimizer_step_pre_hooks or first._optimizer_step_post_hooks:
        raise TypeError("the optimiser has hooks")
    kind = type(first)
    has_tensors = any(torch.is_tensor(g["lr"]) or g.get("differentiable") for g in first.param_groups)
    if kind is SGD and not has_tensors:
        return RowwiseSgd(options, clients)
    if kind in (Adam, AdamW) and not has_tensors and not any(map(torch.is_tensor, first.param_groups[0]["betas"])):
        return RowwiseAdam(options, clients)
    if not is_elementwise(first):
        raise TypeError(f"the optimiser, {kind.__name__}, does not move each weight by itself")
    return GroupwiseOptimizer(options, clients)
