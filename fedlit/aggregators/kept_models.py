"""Algorithms whose server keeps models of every client, or numbers of every pair: what that costs in memory."""

from __future__ import annotations

import math
import os

from fedlit.errors import InputError
from fedlit.model_vectors import Layout
from fedlit.plurals import counted


def check_memory(name: str, layout: Layout, clients: int, models: int = 1, pairs: int = 0) -> None:
    """Refuse a federation for which the server has not the memory.

    Args:
        name: of the option, for the sentence.
        clients: N, the clients of the federation.
        models: what the server keeps of each client, in models.
        pairs: numbers that it has of each pair of clients.

    Raises:
        InputError: N models of P numbers and N^2 numbers of pairs are more than the machine's memory.
    """
    statistics = sum(shape.numel() for shape in layout.statistics.values())
    of_client = models * (layout.size + statistics)
    numbers = clients * of_client + clients**2 * pairs
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if numbers * layout.dtype.itemsize > memory:
        fits = memory / layout.dtype.itemsize  # numbers; most * of_client + most^2 * pairs is just below it
        most = int(2 * fits / (of_client + math.sqrt(of_client**2 + 4 * pairs * fits)))
        beside = f" and {counted(pairs, 'number')} of each pair of them" if pairs else ""
        raise InputError(
            f"aggregator={name}: the server keeps {models} x {layout.size:,} values of each of "
            f"{counted(clients, 'client')}{beside}, {numbers * layout.dtype.itemsize / 1e9:,.0f} GB, and this machine "
            f"has {memory / 1e9:,.0f} GB; write clients={most} or less, or a smaller model."
        )
