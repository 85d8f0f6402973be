"""Algorithms whose server keeps models of every client: what that costs in memory."""

from __future__ import annotations

import os

from fedlit.errors import InputError
from fedlit.model_vectors import Layout
from fedlit.plurals import counted


def check_memory(name: str, layout: Layout, clients: int, models: int = 1) -> None:
    """Refuse a federation for which the server has not the memory.

    Args:
        name: of the option, for the sentence.
        clients: N, the clients of the federation.
        models: what the server keeps of each client, in models.

    Raises:
        InputError: N models of P numbers each are more than the machine's memory.
    """
    statistics = sum(shape.numel() for shape in layout.statistics.values())
    needed = clients * models * (layout.size + statistics) * layout.dtype.itemsize
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        most = int(clients * memory / needed)
        raise InputError(
            f"aggregator={name}: the server keeps {models} x {layout.size:,} values of each of "
            f"{counted(clients, 'client')}, {needed / 1e9:,.0f} GB, and this machine has {memory / 1e9:,.0f} GB; write "
            f"clients={most} or less, or a smaller model."
        )
