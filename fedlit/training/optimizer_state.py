"""The state of a client's optimiser, saved after a fit and loaded in the client's next round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from fedlit.device_copies import on_device_of
from fedlit.errors import InputError


def optimizer_state(optimizer: Any, parameters: Mapping[str, Tensor]) -> dict[str, Any]:
    """Parameter's name -> key -> tensor.

    Raises:
        InputError: a value is no tensor and no number, as the lists of LBFGS.
    """
    state = {n: optimizer.state[p] for n, p in parameters.items() if p in optimizer.state}
    for values in state.values():
        for key, value in values.items():
            if not isinstance(value, Tensor | int | float | None):
                raise InputError(
                    f"trainer.keep_optimizer_state=true: {type(optimizer).__name__} keeps {key}, a "
                    f"{type(value).__name__}, and only tensors and numbers can be kept between rounds; write "
                    "trainer.keep_optimizer_state=false, or train with another optimiser."
                )
    return {n: {k: _copy(torch.as_tensor(v)) for k, v in s.items() if v is not None} for n, s in state.items()}


def _copy(value: Tensor) -> Tensor:
    """A copy, dense: the momentum of sparse gradients is sparse, and stores and engines take dense tensors."""
    return value.detach().to_dense().clone() if value.is_sparse else value.detach().clone()


def load_optimizer_state(optimizer: Any, parameters: Mapping[str, Tensor], state: dict[str, Any]) -> None:
    """Load the result of `optimizer_state` into a new optimiser of the same kind."""
    groups = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    for name, values in state.items():
        p = parameters[name]
        if id(p) in groups:
            optimizer.state[p] = on_device_of(p, {k: v.clone() for k, v in values.items()}, groups[id(p)])
