"""Random draws inside a user's step, as a function of client, round, fit and step, never of the order of work."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from fedlit.randomness import keyed_bits


class KeyedDraws(TorchFunctionMode):
    """Dropout masks from counter-based noise keyed by fit, step and place: the same on every trainer, in every stack.

    Entered once a step and again for each repetition of that step by a rule: each entry begins the same draws anew.
    `dropout`: answer the dropouts of torch.nn.functional; `seed`: seed the global generators of torch, numpy and Python
    as well, for any other draw. Modules that draw nothing need neither (see `probe`), and then this costs nothing.
    """

    def __init__(self, key: int | Tensor, step: int | Tensor, dropout: bool, seed: bool):
        super().__init__()
        self.key, self.step, self.dropout, self.seed, self.count = key, step, dropout, seed, 0

    def __enter__(self) -> Any:
        self.count = 0
        if self.seed:
            seed_everything(int(self.key) + int(self.step))
        return super().__enter__() if self.dropout else self

    def __exit__(self, *exception: Any) -> None:
        if self.dropout:
            super().__exit__(*exception)

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        mend = _DROPOUTS.get(function)
        return function(*args, **(kwargs or {})) if mend is None else mend(self, *args, **(kwargs or {}))

    def keep(self, shape: tuple[int, ...], p: float, device: torch.device) -> Tensor:
        """Which places are kept, bools: the next draw of this step."""
        self.count += 1
        place = torch.arange(torch.Size(shape).numel(), device=device).view(shape)
        word = self.key + (self.step << 20) + (self.count << 40)  # apart for 2**20 steps and as many draws in each
        return keyed_bits(word, place) >= p * 2**32


def _dropout(k: KeyedDraws, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training or p == 0:
        return input
    kept = input * k.keep(tuple(input.shape), p, input.device)
    return kept / (1 - p) if p < 1 else kept


def _channels(trailing: int) -> Callable[..., Tensor]:
    """Dropout of whole channels; `trailing` axes belong to one channel."""

    def dropout(k: KeyedDraws, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or p == 0:
            return input
        lead = input.shape[: input.dim() - trailing] if trailing else input.shape[:2]
        shape = (*lead, *(1,) * (input.dim() - len(lead)))
        kept = input * k.keep(shape, p, input.device)
        return kept / (1 - p) if p < 1 else kept

    return dropout


_DROPOUTS: dict[Any, Callable[..., Tensor]] = {
    F.dropout: _dropout,
    F.dropout1d: _channels(1),
    F.dropout2d: _channels(2),
    F.dropout3d: _channels(3),
}


def seed_everything(seed: int) -> None:
    """Seed the global generators of torch, numpy and Python."""
    torch.manual_seed(seed & (2**63 - 1))
    np.random.seed(seed & (2**32 - 1))
    random.seed(seed)


@contextmanager
def own_generators(seed: int) -> Iterator[None]:
    """Global generators seeded for what is inside, and put back after it."""
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    seed_everything(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])
        random.setstate(before[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
