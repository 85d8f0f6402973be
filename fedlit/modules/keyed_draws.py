"""Random draws inside a user's step, as a function of client, round, fit and step, never of the order of work."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fedlit.global_generators import seed_everything
from fedlit.modules.draws_table import KEYED
from fedlit.modules.noise import Noise
from fedlit.modules.stackable import STACKED, stacking
from fedlit.modules.step_checkpoints import checkpoints_do_nothing, checkpoints_repeat
from fedlit.modules.torch_bodies import BODIES
from fedlit.modules.twice import TWICE


class KeyedDraws(TorchFunctionMode):
    """Draws from counter-based noise keyed by fit, step and place: the same on every trainer, in every stack.

    Entered once a step and again for each repetition of that step by a rule: each entry begins the same draws anew.
    `key` and `step` are ints, or 0-dim int64 tensors, which vmap may have made one a row.

    Args:
        keyed: answer the functions in `draws_table` from the noise.
        seed: seed the global generators of torch, numpy and Python, for any other draw; not under vmap.
        stacked: inside vmap, one row a client: mend what vmap refuses or gets wrong (see `stackable`).
        twice: the step will be differentiated twice (see `twice`).

    A module that draws nothing needs neither of the first two (see `probe`), and then this costs nothing.
    """

    def __init__(
        self,
        key: int | Tensor,
        step: int | Tensor,
        keyed: bool,
        seed: bool,
        stacked: bool = False,
        twice: bool = False,
    ):
        super().__init__()
        self.noise, self.keyed, self.seed, self.stacked, self.twice = Noise(key, step), keyed, seed, stacked, twice
        self._answers = _answers(keyed, stacked, twice)
        self._open: list[ExitStack] = []

    @property
    def count(self) -> int:
        """Keyed draws since it was entered."""
        return self.noise.count

    def __enter__(self) -> Any:
        return self.enter_at(0)

    def enter_at(self, count: int) -> Any:
        """Enter it as if so many draws had been made."""
        self.noise.count = count
        if self.seed:
            seed_everything(int(self.noise.key) + int(self.noise.step))
        opened = ExitStack()
        opened.enter_context(_no_fast_path())
        if self.keyed or self.stacked or self.twice:
            once = self.stacked or self.twice
            opened.enter_context(checkpoints_do_nothing() if once else checkpoints_repeat(self._resumed))
            opened.enter_context(self._answering())
        if self.stacked:
            opened.enter_context(stacking())
        self._open.append(opened)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._open.pop().close()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        answer = self._answers.get(function)
        if answer is not None:
            out = answer(self.noise, *args, **kwargs)
            if out is not NotImplemented:
                return out
        body = BODIES.get(function)
        if body is None:
            return function(*args, **kwargs)
        with self._answering():
            return body(*args, **kwargs)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        super().__enter__()
        try:
            yield
        finally:
            super().__exit__(None, None, None)

    def _resumed(self) -> Callable[[], Any]:
        """Makes contexts in which the draws go on from here, for a part of the step that backward runs again."""
        count = self.count

        @contextmanager
        def again() -> Iterator[None]:
            copied = KeyedDraws(self.noise.key, self.noise.step, self.keyed, False, self.stacked, self.twice)
            copied.enter_at(count)
            try:
                yield
            finally:
                copied.__exit__()

        return again


@functools.cache
def _answers(keyed: bool, stacked: bool, twice: bool) -> dict[Any, Callable[..., Any]]:
    """Torch function -> what answers it; later tables go before earlier ones."""
    return (KEYED if keyed else {}) | (STACKED if stacked else {}) | (TWICE if twice else {})


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Transformer layers in evaluation mode (a frozen teacher) skip their own forward unless a mode watches them."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
