"""From a command line to what Hydra is handed: words checked, the run folder made and locked, a saved run read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from omegaconf import DictConfig

from fedlit.errors import InputError
from fedlit.run_folder import claim, hold, holds_run
from fedlit.settings import command_line
from fedlit.settings.check import Checked, check
from fedlit.settings.check_values import check_composed
from fedlit.settings.command_line import CommandLine
from fedlit.settings.compose import Composer, composer, resolved
from fedlit.settings.presets import check_presets
from fedlit.settings.resume import resume, resumed_folder
from fedlit.settings.saved import read_saved
from fedlit.settings.overrides import quoted


@dataclass(frozen=True)
class Start:
    """A checked command line. The lock on `folder` is held by this process until it ends."""

    line: CommandLine
    words: list[str]
    config: DictConfig | None = None  # of a resumed run; else what the words compose to
    folder: Path | None = None  # of the run, or of the sweep
    lock: FileLock | None = None
    begins_again: bool = False  # a resumed run of which nothing was saved

    def __reduce__(self) -> tuple[type[Start], tuple[object, ...]]:
        """On its way to a job of a sweep on another machine: the lock stays with the process that has it."""
        return Start, (self.line, self.words, self.config, self.folder, None, self.begins_again)

    @property
    def flags(self) -> list[str]:
        """Hydra's own flags as given."""
        return self.line.flags

    @property
    def multirun(self) -> bool:
        """Whether this is a sweep."""
        return self.line.multirun

    @contextmanager
    def held(self, folder: Path) -> Iterator[None]:
        """Lock the folder of one job of a sweep while it runs; a single run's is locked already."""
        if self.folder is not None and folder.resolve() == self.folder.resolve():
            yield
            return
        lock = hold(folder)
        try:
            yield
        finally:
            lock.release()


def prepare(arguments: Sequence[str]) -> Start:
    """Read and check a command line; InputError in one sentence. Nothing is trained and torch is not imported."""
    line = command_line.read(arguments)
    if not line.looks_at_words:
        return Start(line, line.words)
    with composer(line.config_name, line.config_dir) as made:
        folder = resumed_folder(line.words)
        if folder is not None:
            return _resumed(line, folder, made)
        checked = check(line.words, made, sweeps=line.multirun)
        return _fresh(line, checked) if line.runs else Start(line, checked.words)


def job_config(start: Start, config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration of one job; what a sweep made of its words is checked once more, with all values known."""
    if start.config is not None:
        return start.config
    if start.multirun:
        searched = [word for word in start.words if word.startswith("hydra.searchpath=")]
        with composer(start.line.config_name, start.line.config_dir) as made:
            composed = made.compose([*overrides, *searched])
            check_presets(composed)
            check_composed(composed)
    return config


def _resumed(line: CommandLine, folder: Path, made: Composer) -> Start:
    if line.multirun:
        raise InputError(f"resume={folder}: a sweep cannot be resumed; resume its runs one by one, without --multirun.")
    read_saved(folder)  # is it a run at all? before anything is put there
    lock = hold(folder) if line.runs else None
    resumed = resume(folder, line.words, made)
    words = [*resumed.words, f"hydra.run.dir={quoted(str(folder))}", "hydra.output_subdir=null"]
    return Start(line, words, resumed.config, folder, lock, begins_again=not resumed.has_state)


def _fresh(line: CommandLine, checked: Checked) -> Start:
    key = "hydra.sweep.dir" if line.multirun else "hydra.run.dir"
    wanted = Path(str(resolved(checked.composed, key)))
    if any(word.lstrip("+").startswith(f"{key}=") for word in line.words):
        folder, lock = wanted, hold(wanted)
        if holds_run(folder):
            lock.release()
            again = (
                "give another folder" if line.multirun else f"write resume={folder} to go on with it, or another folder"
            )
            raise InputError(f"{key}={folder}: a run lies in this folder already; {again}.")
    else:
        folder = claim(wanted)
        lock = hold(folder)
    return Start(line, [*checked.words, f"{key}={quoted(str(folder))}"], None, folder, lock)
