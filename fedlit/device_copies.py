"""Copies to a device that the host does not wait on, and the device of an optimiser's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def to_device(numbers: Any, device: torch.device | str | None) -> Tensor:
    """Numbers as a tensor on a device. `torch.tensor(numbers, device=device)` would wait until the device has done all
    work in its queue.

    >>> to_device([[1, 2]], "cpu")
    tensor([[1, 2]])
    """
    return torch.from_numpy(np.array(numbers)).to(device=device, non_blocking=True)


def to_device_of(like: Tensor, numbers: np.ndarray) -> Tensor:
    """An array as a tensor on the device of `like`."""
    return torch.from_numpy(numbers).to(like.device, non_blocking=True)


def on_device_of(parameter: Tensor, state: Mapping[str, Any], group: Mapping[str, Any]) -> dict[str, Any]:
    """An optimiser's state of a parameter that was kept on another device. As torch has it, the step count stays on the
    CPU unless the optimiser is fused or capturable.

    Args:
        group: the parameter's group of options.
    """
    counts_on = parameter.device if group.get("fused") or group.get("capturable") else torch.device("cpu")

    def placed(key: str, value: Any) -> Any:
        if not torch.is_tensor(value):
            return value
        return value.to(counts_on if key == "step" and value.dim() == 0 else parameter.device)

    return {key: placed(key, value) for key, value in state.items()}
