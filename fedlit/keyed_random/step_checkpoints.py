"""`torch.utils.checkpoint` inside a step whose draws are keyed.

A checkpointed part runs again in backward, after the step. No mode would key its draws then, and the second dropout
mask would differ from the first without an error. So the part runs again with the draws that it had. Under vmap, and
where the step is differentiated twice, it cannot run again: it is called without checkpointing, which keeps its
activations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from fedlit.torch_compat import CHECKPOINT_GENERATOR, checkpoint_module

Repetition = Callable[[], AbstractContextManager[Any]]


@contextmanager
def checkpoints_repeat(continued: Callable[[], Repetition]) -> Iterator[None]:
    """While open, a checkpointed part runs again inside `continued()()`; `continued` is called before its first run."""
    generator, reentrant = getattr(checkpoint_module, CHECKPOINT_GENERATOR), checkpoint_module.CheckpointFunction

    def generate(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return generator(_inside(continued(), function), *args, **kwargs)  # torch calls this for the repetition only

    def apply(function: Callable[..., Any], *args: Any) -> Any:
        return reentrant.apply(_inside_from_second_call(continued(), function), *args)

    with _replaced(generate, apply):
        yield


@contextmanager
def checkpoints_do_nothing() -> Iterator[None]:
    """While open, a checkpointed part is called without checkpointing."""

    def generate(*args: Any, **kwargs: Any) -> Iterator[None]:
        yield

    def apply(function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        return function(*args)

    with _replaced(generate, apply):
        yield


@contextmanager
def _replaced(generate: Callable[..., Any], apply: Callable[..., Any]) -> Iterator[None]:
    """Monkey-patch torch's two kinds of checkpoints: without and with reentrant backward."""
    with (
        patch.object(checkpoint_module, CHECKPOINT_GENERATOR, generate),
        patch.object(checkpoint_module, "CheckpointFunction", _Function(apply)),
    ):
        yield


class _Function:
    """An autograd.Function reduced to its `apply`."""

    def __init__(self, apply: Callable[..., Any]):
        self.apply = apply


def _inside(context: Repetition, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with context():
            return function(*args, **kwargs)

    return call


def _inside_from_second_call(context: Repetition, function: Callable[..., Any]) -> Callable[..., Any]:
    calls = iter([function])
    return lambda *args: next(calls, _inside(context, function))(*args)
