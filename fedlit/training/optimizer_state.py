"""The state of a client's optimiser, saved after a fit and loaded in the client's next round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fedlit.device_copies import on_device_of


def optimizer_state(optimizer: Any, parameters: Mapping[str, Tensor]) -> dict[str, Any]:
    """Parameter's name -> key -> tensor."""
    state = {n: optimizer.state[p] for n, p in parameters.items() if p in optimizer.state}
    return {
        n: {k: torch.as_tensor(v).detach().clone() for k, v in s.items() if v is not None} for n, s in state.items()
    }


def load_optimizer_state(optimizer: Any, parameters: Mapping[str, Tensor], state: dict[str, Any]) -> None:
    """Load the result of `optimizer_state` into a new optimiser of the same kind."""
    groups = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    for name, values in state.items():
        p = parameters[name]
        if id(p) in groups:
            optimizer.state[p] = on_device_of(p, {k: v.clone() for k, v in values.items()}, groups[id(p)])
