"""`torch.utils.checkpoint` inside a step whose draws are keyed.

A checkpointed part runs again in backward, when the step is over: nothing would answer its draws, and a second mask
would differ from the first without an error. So it is run again with the draws it had. Under vmap, and where the step
is differentiated twice, it cannot run again at all and is called straight through, at the memory of its activations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from torch.utils import checkpoint as torchs

from fedlit.torch_patches.replaced import replaced

Resumed = Callable[[], AbstractContextManager[Any]]

_GENERATORS = ("_checkpoint_without_reentrant_generator_impl", "_checkpoint_without_reentrant_generator")
_GENERATOR = next(name for name in _GENERATORS if hasattr(torchs, name))  # its name changed between torch's versions


@contextmanager
def checkpoints_repeat(resume: Callable[[], Resumed]) -> Iterator[None]:
    """While open, what is checkpointed runs again inside `resume()()`; `resume` is called before it runs first."""
    generator, reentrant = getattr(torchs, _GENERATOR), torchs.CheckpointFunction

    def generate(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return generator(_within(resume(), function), *args, **kwargs)  # torch calls this one for the repetition alone

    def apply(function: Callable[..., Any], *args: Any) -> Any:
        return reentrant.apply(_then_within(resume(), function), *args)

    with _replaced(generate, apply):
        yield


@contextmanager
def checkpoints_do_nothing() -> Iterator[None]:
    """While open, what is checkpointed is called straight through."""

    def generate(*args: Any, **kwargs: Any) -> Iterator[None]:
        yield

    def apply(function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        return function(*args)

    with _replaced(generate, apply):
        yield


@contextmanager
def _replaced(generate: Callable[..., Any], apply: Callable[..., Any]) -> Iterator[None]:
    """Torch's two kinds of checkpoints, without and with reentrant backward, replaced while open."""
    with replaced(torchs, _GENERATOR, generate), replaced(torchs, "CheckpointFunction", _Applied(apply)):
        yield


class _Applied:
    def __init__(self, apply: Callable[..., Any]):
        self.apply = apply


def _within(context: Resumed, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with context():
            return function(*args, **kwargs)

    return call


def _then_within(context: Resumed, function: Callable[..., Any]) -> Callable[..., Any]:
    """The first call as it is, every later one within the context."""
    calls = iter([function])
    return lambda *args: next(calls, _within(context, function))(*args)
