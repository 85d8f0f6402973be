"""The rounds of a run, then its last checkpoint, its summary and its exit code. The loop is an argument."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Protocol

from fedlit import interrupts
from fedlit.early_stopping import EarlyStopping, Followed
from fedlit.errors import NotWritten, one_line
from fedlit.plurals import counted
from fedlit.saved_rounds import saved_rounds
from fedlit.stop import stop_noted
from fedlit.tracking import About, Logger
from fedlit.tracking.metrics_file import NAME, read
from fedlit.tracking.summary import NAME as SUMMARY
from fedlit.tracking.summary import summarise
from fedlit.tracking.summary import write as write_summary
from fedlit.tracking.targets import Targets

log = logging.getLogger(__name__)


class LoopState(Followed, Protocol):
    """What each loop knows of its progress, beside what early stopping follows."""

    seconds: float


class Loop(Protocol):
    """A loop over rounds: of clients with rows (`federation_loop.py`), or of parties with columns
    (`vertical/parties_loop.py`).

    Attributes:
        state: after the last complete round.
        harmless: errors that leave the state as it was after the last round in metrics.jsonl.
    """

    harmless: ClassVar[tuple[type[Exception], ...]]

    @property
    def state(self) -> Any:
        """A `LoopState`."""

    @property
    def rounds(self) -> int:
        """The number of the last round."""

    def begin(self) -> None:
        """Called before round 1, in a run that has completed none."""

    def run(self) -> None:
        """Run the remaining rounds, or those until a Stop, whose reason is then in the state."""

    def save(self) -> None:
        """Write a checkpoint of the state."""

    def has(self, file: Any) -> bool:
        """Whether a file lies among the checkpoints."""

    def summary(self) -> dict[str, Any]:
        """Further entries of summary.json."""

    def close(self) -> None:
        """Called once, also after an error."""


def run_rounds(loop: Loop, loggers: Logger, about: About, early_stopping: EarlyStopping, targets: Targets) -> int:
    """Run the rounds, save the state and write the summary; the exit code."""
    folder = about.folder
    state: LoopState = loop.state
    interrupted: interrupts.Interrupted | None = None
    if state.stopped is not None:
        log.warning("this run has stopped: %s; write rounds=<more>, or change stop, to go on with it.", state.stopped)
    elif state.round >= loop.rounds and (folder / SUMMARY).exists():  # else a kill came before its end
        done = counted(loop.rounds, "round")
        log.warning("this run has done its %s; write rounds=<more> to go on with it.", done)
    try:
        with stop_noted(state):
            loggers.start(about)
        if not state.round:
            loop.begin()
        try:
            loop.run()
        except interrupts.Interrupted as error:
            interrupted = error
        except Exception as error:
            interrupted = interrupts.requested()
            if interrupted is None or isinstance(error, NotWritten):
                _save_before(error, loop, folder)
                raise
            log.warning("after the signal: %s", one_line(error))
        if interrupted is None or _last_logged_round(folder) == state.round:
            loop.save()
        rows = read(folder / NAME)
        if rows or state.stopped is not None:
            targets = early_stopping.with_target(targets, state)
            reached = targets.summary(rows)
            summary = summarise(rows, folder, state.seconds, reached, state.stopped) | loop.summary()
            write_summary(summary, folder)
            loggers.finish(summary)
    finally:
        loggers.close()
        loop.close()
    return 0 if interrupted is None else interrupted.exit_code


def _save_before(error: Exception, loop: Loop, folder: Path) -> None:
    """Save the rounds before an error that leaves the state as it was after the last round in metrics.jsonl: a client
    that failed, an input that is refused, a full disk where no logger has missed a part of the round."""
    keeps_state = isinstance(error, loop.harmless)
    if isinstance(error, NotWritten):
        keeps_state = loop.has(error.file)
    if not keeps_state or not loop.state.round or _last_logged_round(folder) != loop.state.round:
        return
    with suppress(NotWritten):
        loop.save()
    if not isinstance(error, NotWritten):  # else the end of the command says it
        log.warning("%s", saved_rounds(folder))


def _last_logged_round(folder: Path) -> int:
    """The last round that has a line in metrics.jsonl; 0 if there is none."""
    rows = read(folder / NAME)
    return int(rows[-1]["round"]) if rows else 0
