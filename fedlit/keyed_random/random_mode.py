"""The mode under which a user's step runs: its random draws are functions of client, round, fit and step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fedlit.global_generators import seed_everything
from fedlit.keyed_random.counter_rng import CounterRng
from fedlit.keyed_random.random_ops import KEYED
from fedlit.keyed_random.step_checkpoints import checkpoints_do_nothing, checkpoints_repeat
from fedlit.keyed_random.unguarded_functions import UNGUARDED


@dataclass(frozen=True, eq=False)
class Patch:
    """Replacements that a step runs under (see `fedlit.torch_patches`).

    Attributes:
        functions: torch function -> replacement, called with the CounterRng and then torch's arguments. Where it
            returns NotImplemented, the replacement of an earlier patch, or else torch's own function, is called.
        context: makes a context manager for replacements that a torch function mode cannot make.
    """

    functions: Mapping[Any, Callable[..., Any]]
    context: Callable[[], AbstractContextManager[None]] = nullcontext


class RandomMode(TorchFunctionMode):
    """Replaces torch's random functions by draws from a counter-based generator keyed by fit and step.

    The draws are the same on every trainer and in every stack. The mode is entered once a step, and once more for each
    repetition of the step by a `gradient_fn`; each entry restarts the draws. A module without draws needs neither
    `keyed` nor `seed` (see `fedlit.user_module.probe`); then the mode costs nothing.

    Args:
        key, step: ints, or 0-dim int64 tensors, which hold one value a row under vmap.
        keyed: replace the functions in `random_ops`.
        seed: seed the global generators of torch, numpy and Python, for all other draws; not under vmap.
        patches: further replacements; a later patch takes precedence, and where it returns NotImplemented the one
            before it is called.
    """

    def __init__(self, key: int | Tensor, step: int | Tensor, keyed: bool, seed: bool, patches: tuple[Patch, ...] = ()):
        super().__init__()
        self.rng, self.keyed, self.seed, self.patches = CounterRng(key, step), keyed, seed, patches
        self._functions = _functions(keyed, patches)
        self._contexts: list[ExitStack] = []

    @property
    def count(self) -> int:
        """Keyed draws since the mode was entered."""
        return self.rng.count

    def __enter__(self) -> Any:
        return self.enter_at(0)

    def enter_at(self, count: int) -> Any:
        """Enter with the draw counter at `count`."""
        self.rng.count = count
        if self.seed:
            seed_everything(int(self.rng.key) + int(self.rng.step))
        contexts = ExitStack()
        contexts.enter_context(_no_fast_path())
        if self.keyed or self.patches:
            # a step that runs under vmap or is differentiated twice cannot run a checkpointed part again
            checkpoints = checkpoints_do_nothing() if self.patches else checkpoints_repeat(self._continued)
            contexts.enter_context(checkpoints)
            contexts.enter_context(self._active())
        for patch in self.patches:
            contexts.enter_context(patch.context())
        self._contexts.append(contexts)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._contexts.pop().close()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        replacement = self._functions.get(function)
        if replacement is not None:
            output = replacement(self.rng, *args, **kwargs)
            if output is not NotImplemented:
                return output
        unguarded = UNGUARDED.get(function)
        if unguarded is None:
            return function(*args, **kwargs)
        with self._active():
            return unguarded(*args, **kwargs)

    @contextmanager
    def _active(self) -> Iterator[None]:
        super().__enter__()
        try:
            yield
        finally:
            super().__exit__(None, None, None)

    def _continued(self) -> Callable[[], Any]:
        """Makes context managers in which the draws continue from the current count, for a part of the step that
        backward runs again."""
        count = self.count

        @contextmanager
        def repetition() -> Iterator[None]:
            mode = RandomMode(self.rng.key, self.rng.step, self.keyed, False, self.patches)
            mode.enter_at(count)
            try:
                yield
            finally:
                mode.__exit__()

        return repetition


@functools.cache
def _functions(keyed: bool, patches: tuple[Patch, ...]) -> dict[Any, Callable[..., Any]]:
    functions = dict(KEYED) if keyed else {}
    for patch in patches:
        for function, replacement in patch.functions.items():
            earlier = functions.get(function)
            functions[function] = replacement if earlier is None else _first_of(replacement, earlier)
    return functions


def _first_of(replacement: Callable[..., Any], earlier: Callable[..., Any]) -> Callable[..., Any]:
    """`replacement`, and `earlier` where that returns NotImplemented."""

    def call(rng: CounterRng, *args: Any, **kwargs: Any) -> Any:
        output = replacement(rng, *args, **kwargs)
        return earlier(rng, *args, **kwargs) if output is NotImplemented else output

    return call


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Disable the fused inference path of transformer layers (a frozen teacher in evaluation mode). Torch takes it only
    where no torch function mode is active, so results would depend on whether draws are keyed."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
