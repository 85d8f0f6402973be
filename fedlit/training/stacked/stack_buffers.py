"""The buffers of the module for each client of a stack."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedlit.model_vectors import Layout


def stack_buffers(layout: Layout, statistics: Tensor, counters: Mapping[str, Tensor], k: int) -> dict[str, Tensor]:
    """(K, *shape) by name, copies.

    Each is contiguous, because vmap's batch norm loses its writes into a strided view.

    Args:
        statistics: (K, S), or (S,) where all clients share them.
        counters: the server's integer buffers, by name.
        k: number of clients.
    """
    buffers = layout.pieces(statistics.expand(k, -1), layout.statistics)
    for name in layout.counters:
        counter = counters[name].to(statistics.device, non_blocking=True)
        buffers[name] = counter.expand(k, *counter.shape)
    return {name: buffer.clone(memory_format=torch.contiguous_format) for name, buffer in buffers.items()}
