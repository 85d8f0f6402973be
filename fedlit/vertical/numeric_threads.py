"""The threads of an operation: the last bits of a matrix product may depend on their number."""

from __future__ import annotations

from typing import Any

import torch
from threadpoolctl import ThreadpoolController


def set_threads(threads: int) -> Any:
    """Set the threads of torch and of numpy's libraries in this process. As a context manager, the result restores
    those of numpy's libraries."""
    torch.set_num_threads(threads)
    return ThreadpoolController().limit(limits=threads)
