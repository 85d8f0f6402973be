"""Runs from Python, in a script or a notebook: `run = fedlit.simulate(["clients=10", "partition=dirichlet"])`.

A run is that of the command line: the same words, the same folder, the same numbers. Errors are exceptions.
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule, LightningModule

from fedlit import interrupts
from fedlit.after_run.reopened import reopened
from fedlit.aggregators import Aggregator
from fedlit.caller_state import caller_state_kept
from fedlit.errors import BUG, InputError
from fedlit.experiment import Experiment
from fedlit.jobs import run_jobs
from fedlit.live_objects import given, is_live, words_for
from fedlit.partition_file import read_partition
from fedlit.run_folder import PARTITION
from fedlit.run_log import note
from fedlit.saved_run import SavedRun
from fedlit.settings.resume import resumed_folder
from fedlit.settings.start import prepare
from fedlit.trained_models import global_module, personal_module


class Run:
    """A run that has ended, read from its folder.

    Args:
        folder: the run folder.
        objects: those that the run was given (see `fedlit.live_objects`).

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
            raise InputError(
                f"{self.folder}: this run has no clients.jsonl; run it with evaluation.per_client=true to write one."
            )
        return self.saved.clients

    @property
    def partition(self) -> dict[str, list[np.ndarray]]:
        """The sample indices of each client, by part: `run.partition["train"][3]` are those of client 3.

        Raises:
            InputError: the run folder has no partition.npz.
        """
        file = self.folder / PARTITION
        if not file.exists():
            raise InputError(
                f"{self.folder}: this run folder has no {PARTITION}, because it was removed or would be too large."
            )
        return read_partition(file)

    @property
    def summary(self) -> dict[str, Any] | None:
        """The results as in summary.json; None if the run did not come that far."""
        return self.saved.summary

    def module(self) -> LightningModule:
        """The global model after the last saved round, on the CPU and in evaluation mode: a new module at each call.

        Raises:
            InputError: the algorithm has no global model, or the run is in use or saved nothing.
        """
        return self._from_checkpoint(global_module)

    def personal(self, client: int) -> LightningModule:
        """The model that a client uses after the last saved round, as `module` gives the global one.

        Args:
            client: its number, from 0.
        """
        return self._from_checkpoint(lambda experiment: personal_module(experiment, client))

    def _from_checkpoint(self, taken: Callable[[Experiment], LightningModule]) -> LightningModule:
        with given(self._objects), caller_state_kept(), reopened(self.saved) as run:
            return taken(run.experiment)


def load(folder: str | Path) -> Run:
    """A run that has ended.

    Raises:
        InputError: this is no run folder.
    """
    return Run(folder)


def simulate(words: Sequence[str] = ()) -> Run:
    """Run an experiment, as `python -m fedlit.run` does with these words.

    The process is left as it was: its random generators, log handlers, threads and signal handlers.

    Args:
        words: overrides, such as "clients=10", "partition=dirichlet" or "resume=<run folder>".

    Returns:
        The run.

    Raises:
        InputError: a word cannot be used; one sentence.
        KeyboardInterrupt: after Ctrl-C. The rounds before it are saved, and a printed line says how to go on.
        Exception: what the code of the run raised.
    """
    if isinstance(words, str):
        raise InputError(f"simulate({words!r}): give a list of words, simulate([{words!r}]).")
    words = [str(word) for word in words]
    for word in words:
        if word.startswith("-") or word == "hydra.mode=MULTIRUN":
            raise InputError(f"{word}: simulate does one run and takes no flags; write flags on the command line.")
    errors: list[Exception | SystemExit] = []

    def keep(error: Exception | SystemExit, folder: Path, multirun: bool) -> int:
        note(str(error) if isinstance(error, InputError) else "".join(traceback.format_exception(error)))
        errors.append(error)
        return BUG

    stopped: int | None = None
    with caller_state_kept():
        try:
            with interrupts.at_once():
                start = prepare(words)
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
    return Run(start.folder)


def federate(
    module: LightningModule, datamodule: LightningDataModule, *words: str, aggregator: Aggregator | None = None
) -> Run:
    """Run an experiment with objects of the caller's own, which stay as they are.

    The first weights are those of the module, whatever the seed. The objects are not saved: the run goes on by
    `federate(module, datamodule, "resume=<run folder>")` with objects that were made in the same way. The configuration
    has digests of their tensors and plain attributes, so that others are refused; of functions it has the type alone.

    Args:
        module: the model; copied.
        datamodule: the data; its hooks run on a shallow copy.
        words: overrides as in `simulate`.
        aggregator: the algorithm, copied; None: that of the words.

    Example:
        >>> run = federate(Net(), Data(), "clients=10", aggregator=Mine(mu=0.1))  # doctest: +SKIP

    Raises:
        InputError: as in `simulate`; also where a word names another model, data or algorithm than the given one.
    """
    objects: dict[str, Any] = {"model": module, "data": datamodule}
    kinds: dict[str, type] = {"model": LightningModule, "data": LightningDataModule}
    if aggregator is not None:
        objects["aggregator"], kinds["aggregator"] = aggregator, Aggregator
    for group, kind in kinds.items():
        if not isinstance(objects[group], kind):
            raise InputError(
                f"federate: {group} is an object of type {type(objects[group]).__name__}; give an instance of "
                f"{kind.__name__}, such as Mine()."
            )
        for word in words:
            if word.lstrip("+~").startswith((f"{group}=", f"{group}._target_=")):
                raise InputError(f"{word}: federate has an object in this place; leave the word out.")
    folder = resumed_folder(words)
    if folder is None:
        words = (*words_for(objects), *words)
    else:
        saved = SavedRun(folder)
        for group in objects:
            if not is_live(str(saved.config[group].get("_target_"))):
                raise InputError(f"resume={folder}: this run was not given an object in place of {group}=; give none.")
    with given(objects):
        return Run(simulate(words).folder, objects)
