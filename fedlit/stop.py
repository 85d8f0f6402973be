"""`Stop(reason)` ends a run at its last complete round, as if that had been the last: exit code 0.

Early stopping raises it, and so may whatever takes part in a round: a logger, a sampler, an algorithm, a stage, a hook
of the module. Raised before the server's step, the round is dropped, and the state is that of the round before. Raised
later, in an evaluation or by a logger, the round is recorded first.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Stop(Exception):
    """The run has to end, and nothing has failed.

    Args:
        reason: for the summary, the checkpoint and the last line, such as "the privacy budget is spent".

    Example:
        >>> class Budget(Logger):  # doctest: +SKIP
        ...     def round(self, number, row, pictures):
        ...         if number == 100:
        ...             raise Stop("the privacy budget is spent")
    """

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Stoppable(Protocol):
    """What knows why a run has ended: `fedlit.state.FederationState`."""

    stopped: str | None


@contextmanager
def stop_noted(state: Stoppable) -> Iterator[None]:
    """A Stop of the block ends the block alone, and its reason is noted in the state; the first reason stays."""
    try:
        yield
    except Stop as stop:
        state.stopped = state.stopped or stop.reason
