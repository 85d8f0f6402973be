"""A warning: an algorithm steps tensors by the learning rate alone, and the optimiser does more than that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
from torch.optim import SGD

from fedlit.notices import warn


def warn_of_rate_alone(module: pl.LightningModule, optimizers: Sequence[Any]) -> None:
    """Warn, once in a run, if the optimiser of a fit whose `gradient_fn` reads `step.lr` is not plain SGD."""
    for optimizer in optimizers:
        kind = getattr(optimizer, "optimizer", optimizer)  # Lightning's wrapper has the user's optimiser
        more = [name for name in ("momentum", "weight_decay") if any(g.get(name) for g in kind.param_groups)]
        if not isinstance(kind, SGD):
            more.append(f"the scaling of {type(kind).__name__}")
        if more:
            warn(
                f"{type(module).__name__}: this algorithm steps tensors of its own by the learning rate alone "
                f"(step.lr), as plain SGD does; what the optimiser has in addition ({', '.join(more)}) concerns the "
                "weights of the model only."
            )
