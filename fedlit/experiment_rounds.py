"""The rounds of a run, then its last checkpoint, its summary and its exit code."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from fedlit import interrupts
from fedlit.checkpoint import Checkpoints
from fedlit.early_stopping import EarlyStopping
from fedlit.engines import Engine
from fedlit.engines.failures import ClientFailed
from fedlit.errors import InputError, NotWritten, one_line
from fedlit.evaluation.evaluator import Evaluator
from fedlit.federation import Federation
from fedlit.live_objects import given_tensors
from fedlit.plurals import counted
from fedlit.rounds import federate
from fedlit.saved_rounds import saved_rounds
from fedlit.state import FederationState
from fedlit.stop import stop_noted
from fedlit.tracking import About, Logger
from fedlit.tracking.metrics_file import NAME, read
from fedlit.tracking.summary import NAME as SUMMARY
from fedlit.tracking.summary import summarise
from fedlit.tracking.summary import write as write_summary
from fedlit.tracking.targets import Targets

log = logging.getLogger(__name__)


def run_rounds(
    federation: Federation,
    state: FederationState,
    engine: Engine,
    evaluator: Evaluator,
    loggers: Logger,
    checkpoints: Checkpoints,
    about: About,
    early_stopping: EarlyStopping,
    targets: Targets,
) -> int:
    """Run the rounds, save the state and write the summary; the exit code."""
    folder = about.folder
    interrupted: interrupts.Interrupted | None = None
    if state.stopped is not None:
        log.warning("this run has stopped: %s; write rounds=<more>, or change stop, to go on with it.", state.stopped)
    elif state.round >= federation.rounds and (folder / SUMMARY).exists():  # else a kill came before its end
        done = counted(federation.rounds, "round")
        log.warning("this run has done its %s; write rounds=<more> to go on with it.", done)
    try:
        with stop_noted(state):
            loggers.start(about)
        if not state.round:
            checkpoints.save_first(state, given_tensors())
        try:
            federate(federation, state, engine, evaluator, loggers, checkpoints, early_stopping)
        except interrupts.Interrupted as error:
            interrupted = error
        except Exception as error:
            interrupted = interrupts.requested()
            if interrupted is None or isinstance(error, NotWritten):
                _save_before(error, state, checkpoints, folder)
                raise
            log.warning("after the signal: %s", one_line(error))
        if interrupted is None or _last_logged_round(folder) == state.round:
            checkpoints.save(state)
        rows = read(folder / NAME)
        if rows or state.stopped is not None:
            targets = early_stopping.with_target(targets, state)
            reached = targets.summary(rows)
            summary = summarise(rows, folder, state.seconds, reached, state.stopped) | {"lost": state.lost}
            write_summary(summary, folder)
            loggers.finish(summary)
    finally:
        loggers.close()
        state.clients.close()
    return 0 if interrupted is None else interrupted.exit_code


def _save_before(error: Exception, state: FederationState, checkpoints: Checkpoints, folder: Path) -> None:
    """Save the rounds before an error that leaves the state as it was after the last round in metrics.jsonl: a client
    that failed, an input that is refused, a full disk where no logger has missed a part of the round."""
    keeps_state = isinstance(error, InputError | ClientFailed)
    if isinstance(error, NotWritten):
        keeps_state = checkpoints.has(error.file)
    if not keeps_state or not state.round or _last_logged_round(folder) != state.round:
        return
    with suppress(NotWritten):
        checkpoints.save(state)
    if not isinstance(error, NotWritten):  # else the end of the command says it
        log.warning("%s", saved_rounds(folder))


def _last_logged_round(folder: Path) -> int:
    """The last round that has a line in metrics.jsonl; 0 if there is none."""
    rows = read(folder / NAME)
    return int(rows[-1]["round"]) if rows else 0
