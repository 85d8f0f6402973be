"""A run that has ended, with its objects again: its data, its module, and the state of one of its checkpoints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from fedlit.after_run.chosen_checkpoint import BEST, chosen_checkpoint
from fedlit.after_run.words import Words, refuse_parties
from fedlit.checkpoint import facts_of
from fedlit.data import DataSource
from fedlit.data.fingerprint import difference
from fedlit.errors import InputError
from fedlit.experiment import Experiment, Reading, opened
from fedlit.experiment_data import load_data
from fedlit.plurals import counted
from fedlit.run_folder import hold
from fedlit.saved_run import SavedRun
from fedlit.settings.classes import check_classes
from fedlit.settings.compose import composer
from fedlit.settings.resume import with_changes
from fedlit.settings.saved import Saved, began_in
from fedlit.working_folder import in_folder

_REFUSAL = "this command may change {} alone; leave these out"


@dataclass(frozen=True)
class Reopened:
    """
    Attributes:
        experiment: the run, with the state of the checkpoint.
        checkpoint: its name.
        config: the run's configuration, changed by the words of the command, with the group `data` of the run.
        other_data: those that the words name, where they are not the run's own.
        other_config: their group `data`.
    """

    experiment: Experiment
    checkpoint: str
    config: DictConfig
    other_data: DataSource | None = None
    other_config: DictConfig | None = None

    @property
    def title(self) -> str:
        """The checkpoint with its round, such as `round_0012` or `best (round 7)`."""
        return f"{BEST} (round {self.experiment.state.round})" if self.checkpoint == BEST else self.checkpoint

    @property
    def data(self) -> DataSource:
        """The data that are measured."""
        return self.other_data or self.experiment.data

    @property
    def samples(self) -> str:
        """Such as `359 test samples of digits`, and how many of them `evaluation.test_samples` takes."""
        size, limit = len(self.data.test), self.experiment.evaluation.test_samples
        of_data = f"{counted(size, 'test sample')} of {self.data.name}"
        if limit is None or limit >= size:
            return of_data
        if self.other_data is not None:
            return f"{limit:,} of {of_data} (evaluation.test_samples={limit})"
        return f"{of_data}, pooled on {limit:,} of them (evaluation.test_samples={limit})"


@contextmanager
def reopened(
    saved: SavedRun, choice: object = "last", words: Words | None = None, may_change: Sequence[str] = ()
) -> Iterator[Reopened]:
    """Open a run to look at it; nothing in its folder changes.

    Args:
        saved: the run.
        choice: "last", "best" or the number of a round.
        words: of a command whose overrides change the configuration.
        may_change: what they may change.

    Raises:
        InputError: there is no such checkpoint; a word is wrong; the run is in use.
    """
    refuse_parties(saved)
    folder = saved.folder.resolve()
    name = chosen_checkpoint(folder, choice)
    config, overrides = saved.config.copy(), saved.overrides
    if words is not None and words.overrides:
        config, overrides = _changed(saved, words, may_change)
    with open_dict(config):
        config.resume = str(folder)  # relative paths are meant from where the run began
        config.engine = {"_target_": "fedlit.engines.Serial"}  # no workers are needed
    began = began_in(folder, resumed=True)
    if str(began) not in sys.path:
        sys.path.append(str(began))  # the user's modules
    with in_folder(began):
        check_classes(config, overrides)
    lock = hold(folder) if os.access(folder, os.W_OK) else None  # a folder that is only read needs none
    try:
        other, other_config, data_folder = None, None, None
        if words is not None and any(word.lstrip("+~").startswith("data") for word in words.overrides):
            data_folder = Path.cwd()
            other = _other_data(config, saved.config, folder / "checkpoints" / name, data_folder)
            if other is not None:
                other_config, config.data, data_folder = config.data, saved.config.data, None
        with opened(config, folder, overrides, Reading(name, data_folder)) as experiment:
            try:
                yield Reopened(experiment, name, config, other, other_config)
            finally:
                experiment.state.clients.close()
    finally:
        if lock is not None:
            lock.release()


def _changed(saved: SavedRun, words: Words, may_change: Sequence[str]) -> tuple[DictConfig, list[str]]:
    before = Saved(saved.config, saved.overrides, has_state=True)
    with composer(words.line.config_name, words.line.config_dir) as opened_composer:
        changed = with_changes(
            str(saved.folder), saved.folder, before, words.overrides, opened_composer, may_change, _REFUSAL
        )
    return changed.config, changed.overrides


def _other_data(config: DictConfig, before: DictConfig, checkpoint: Path, data_folder: Path) -> DataSource | None:
    """The data of a configuration; None if they are those of the run, perhaps at another place.

    Raises:
        InputError: the samples that all see would be others, and so would each client's.
    """
    data, facts = load_data(config.data, config.batch_size, data_folder)
    before_facts = facts_of(checkpoint).get("bits", {}).get("data")
    if before_facts is None or difference(before_facts, facts):
        return data
    public = [OmegaConf.select(part, "data.public") for part in (before, config)]
    if public[0] != public[1]:
        raise InputError(
            f"data.public={public[1]}: the run has its clients' samples by data.public={public[0]}; leave it out."
        )
    return None
