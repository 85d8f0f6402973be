"""Runs from Python, in a script or a notebook: `run = fedlit.simulate(["clients=10", "partition=dirichlet"])`.

A run is that of the command line: the same words, the same folder, the same numbers. Errors are exceptions.
"""

from __future__ import annotations

import itertools
import multiprocessing
import re
import signal
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule

from fedlit import interrupts
from fedlit.after_run.measured import can_be_personal
from fedlit.after_run.reopened import reopened
from fedlit.aggregators import Aggregator
from fedlit.caller_state import caller_state_kept
from fedlit.errors import BUG, InputError
from fedlit.experiment import Experiment
from fedlit.jobs import run_jobs
from fedlit.live_objects import as_begun, given, own_copies, words_for
from fedlit.partition_file import ClientSamples, read_partition
from fedlit.quick_imports import limit_spinning
from fedlit.quiet import silent
from fedlit.run_folder import PARTITION
from fedlit.run_log import note
from fedlit.saved_run import SavedRun
from fedlit.settings import command_line
from fedlit.settings.classes import RUN_KEYS
from fedlit.settings.overrides import key_of, parse
from fedlit.settings.protocols import DEFAULT, PROTOCOL, is_vertical
from fedlit.settings.resume import resumed_folder
from fedlit.settings.start import prepare
from fedlit.trained_models import global_module, personal_module

_ONE_RUN = "a call does one run; call it once for each value of a sweep"


class Run:
    """A run that has ended, read from its folder.

    Args:
        folder: the run folder.
        objects: copies of those that the run began with (see `fedlit.live_objects`).

    Attributes:
        folder: the run folder, absolute.
        saved: all that the run has written (see `SavedRun`).
    """

    def __init__(self, folder: str | Path, objects: Mapping[str, Any] | None = None):
        self._objects = dict(objects or {})
        self.saved = SavedRun(folder)
        self.folder = self.saved.folder.resolve()

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def metrics(self) -> Any:
        """A pandas.DataFrame with a row for each round and a column for each metric."""
        return self.saved.frame

    @property
    def clients(self) -> Any:
        """A pandas.DataFrame by round and client.

        Raises:
            InputError: the run wrote no lines of clients.
        """
        if self.saved.clients is None:
            self._refuse_parties()
            raise InputError(
                f"{self.folder}: this run has no clients.jsonl; run it with evaluation.per_client=true to write one."
            )
        return self.saved.clients

    @property
    def partition(self) -> ClientSamples:
        """The sample indices of each client, by part: `run.partition["train"][3]` are those of client 3.

        Raises:
            InputError: the run folder has no partition.npz.
        """
        file = self.folder / PARTITION
        if not file.exists():
            self._refuse_parties()
            raise InputError(
                f"{self.folder}: this run folder has no {PARTITION}, because it was removed or would be too large."
            )
        return read_partition(file)

    @property
    def summary(self) -> dict[str, Any] | None:
        """The results as in summary.json; None if the run did not come that far."""
        return self.saved.summary

    def module(self, checkpoint: str | int = "last") -> LightningModule:
        """The global model, on the CPU and in evaluation mode: a new module at each call.

        Args:
            checkpoint: "last", "best" (by validation), or the number of a saved round.

        Raises:
            InputError: the algorithm has no global model; the run is in use, or has no such checkpoint.
        """
        return self._from_checkpoint(global_module, checkpoint)

    def personal(self, client: int, checkpoint: str | int = "last") -> LightningModule:
        """The model that a client uses, as `module` gives the global one: its personal one, fine-tuned if the run
        measured it so, or else the global one.

        Args:
            client: its number, from 0.
        """

        def taken(experiment: Experiment) -> LightningModule:
            if not can_be_personal(experiment):
                raise InputError(
                    f"checkpoint={checkpoint}: it was saved without the states of clients, which their models need; "
                    "write checkpoint='last'."
                )
            return personal_module(experiment, client)

        return self._from_checkpoint(taken, checkpoint)

    def _refuse_parties(self) -> None:
        if is_vertical(self.saved.config):
            raise InputError(
                f"{self.folder}: its parties hold columns of the same people, so that it has no clients and no "
                "partition; its rounds are in run.metrics."
            )

    def _from_checkpoint(
        self, taken: Callable[[Experiment], LightningModule], checkpoint: str | int
    ) -> LightningModule:
        with (
            caller_state_kept(),
            given(self._objects),
            silent(),  # the run has said it
            reopened(self.saved, checkpoint) as run,
        ):
            return taken(run.experiment)


def load(folder: str | Path, module: Any = None, data: Any = None, aggregator: Any = None) -> Run:
    """A run that has ended, or goes on.

    Args:
        folder: the run folder.
        module, data, aggregator: of a run by `federate`, which are not saved: objects like those it began with. They
            are needed for `module` and `personal` alone. The first weights of the module do not count.

    Raises:
        InputError: this is no run folder, or an object differs from the one that the run began with.
    """
    saved, objects = SavedRun(folder), own_copies(module, data, aggregator)
    as_begun(objects, saved)
    return Run(folder, objects)


def simulate(*words: str | Sequence[str]) -> Run:
    """Run an experiment, as `python -m fedlit.run` does with these words.

    The process is left as it was: its random generators, log handlers, torch's settings, signal handlers and so on.

    Args:
        words: overrides, one by one or as a list, such as "clients=10", "partition=dirichlet" or "resume=<run folder>";
            also "--config-dir=<folder>".

    Returns:
        The run.

    Raises:
        InputError: a word cannot be used; one sentence.
        KeyboardInterrupt: after Ctrl-C. The rounds before it are saved, and a printed line says how to go on.
        Exception: what the code of the run raised.
    """
    return _simulated(_checked_words(words), {})


def federate(
    module: LightningModule | None, data: Any, *words: str | Sequence[str], aggregator: Aggregator | None = None
) -> Run:
    """Run an experiment with objects of the caller's own, which stay as they are.

    The first weights are those of the module, whatever the seed. The objects are not saved: the run goes on by
    `federate(module, data, "resume=<run folder>")` with objects that were made in the same way. The configuration has
    digests of what they hold, so that others are refused. The first weights of the module may be others, because those
    of the run are saved.

    Args:
        module: the model, copied; None: that of the words, as for the other two.
        data: a LightningDataModule, whose hooks run on a shallow copy; or a pair of Datasets, (train, test).
        words: overrides as in `simulate`.
        aggregator: the algorithm, copied.

    Example:
        >>> run = federate(Net(), Data(), "clients=10", aggregator=Mine(mu=0.1))  # doctest: +SKIP

    Raises:
        InputError: as in `simulate`; also where an object is of the wrong type, or a word sets the model, data or
            algorithm in place of the given one, or an argument of it.
    """
    checked = _checked_words(words)
    objects = own_copies(module, data, aggregator)
    for group, word in itertools.product(objects, checked):
        if _replaces(word, group):
            raise InputError(f"{word}: federate has an object in this place; leave the word out.")
    _refuse_parties(checked)
    folder = resumed_folder(checked)
    if folder is None:
        return _simulated([*words_for(objects), *checked], objects)
    as_begun(objects, SavedRun(folder))
    return _simulated(checked, objects)


def _refuse_parties(words: Sequence[str]) -> None:
    for override in parse(words):
        if key_of(override) == PROTOCOL and override.value() != DEFAULT:
            raise InputError(
                f"{override.input_line}: its parties train no LightningModule; write "
                f"fedlit.simulate({override.input_line!r}, ...), with data=table for a table of yours."
            )


def _replaces(word: str, group: str) -> bool:
    """Whether a word sets a group, or a key of it, that an object stands for: not one that every run reads itself."""
    path = re.split("[=@]", word.lstrip("+~"), maxsplit=1)[0]
    first, _, key = path.partition(".")
    return first == group and key not in RUN_KEYS.get(group, ())


def _checked_words(given: Sequence[Any]) -> list[str]:
    """The words of a call as one list.

    Args:
        given: words, and lists of words.

    Raises:
        InputError: they are no words, or do more than one run.
    """
    words: list[Any] = []
    for part in given:
        words += part if isinstance(part, list | tuple) else [part]
    for word in words:
        parts = word.split() if isinstance(word, str) else []
        if len(parts) > 1 and all("=" in part for part in parts):
            raise InputError(f"{word!r} is one text; write each word as a text of its own: {str(parts)[1:-1]}.")
    wrong = [word for word in words if not isinstance(word, str)]
    if wrong:
        raise InputError(
            f"{str(wrong[0])[:80]}: words are texts as on the command line, and this is an object of type "
            f"{type(wrong[0]).__name__}; write for example 'clients=10'."
        )
    line = command_line.read(words)
    if line.multirun or not line.runs or not line.checks_overrides or {"--help", "--version"} & set(words):
        raise InputError(
            f"{' '.join(line.flags) or 'hydra.mode=MULTIRUN'}: {_ONE_RUN}, and write other flags on the command line."
        )
    several = [o.input_line for o in parse(line.overrides) if o.is_sweep_override()]
    if several:
        raise InputError(f"{several[0]}: {_ONE_RUN}.")
    return words


def _simulated(words: list[str], objects: Mapping[str, Any]) -> Run:
    """The run of checked words, with live objects."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # as multiprocessing itself asks
        raise InputError(
            "a worker process imports this script, and would run it again; write if __name__ == '__main__': above the "
            "run, or engine=serial."
        )
    errors: list[Exception | SystemExit] = []

    def keep(error: Exception | SystemExit, folder: Path, multirun: bool) -> int:
        note(str(error) if isinstance(error, InputError) else "".join(traceback.format_exception(error)))
        errors.append(error)
        return BUG

    stopped: int | None = None
    with caller_state_kept(), given(objects):
        try:
            with interrupts.at_once():
                limit_spinning()  # in worker processes; in this one torch is imported already
                start = prepare(words)
                if start.multirun:  # by a file of the user's
                    assert start.lock is not None
                    start.lock.release()
                    raise InputError(f"hydra.mode=MULTIRUN is set in a configuration; {_ONE_RUN}.")
                run_jobs(start, keep)
        except interrupts.Stopped as stop:
            stopped = stop.number
    if stopped is not None:
        if stopped != signal.SIGINT:
            signal.raise_signal(stopped)  # the caller's own handler
        raise KeyboardInterrupt
    if errors:
        if isinstance(errors[0], SystemExit):
            raise RuntimeError(f"the code of the run called sys.exit({errors[0].code!r})") from errors[0]
        raise errors[0]
    assert start.folder is not None  # of a single run
    return Run(start.folder, objects)
