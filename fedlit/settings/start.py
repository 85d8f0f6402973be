"""From a command line to a checked start: overrides checked, the run folder made and locked, a saved run read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from fedlit.errors import InputError
from fedlit.run_folder import blocks, claim, clear_start, has_rounds, hold, write_format
from fedlit.settings import command_line
from fedlit.settings.check import Checked, check
from fedlit.settings.check_protocols import check_unused
from fedlit.settings.check_values import check_composed
from fedlit.settings.command_line import CommandLine
from fedlit.settings.comments import PUBLISHED
from fedlit.settings.compose import SEARCH_PATH, Composed, Composer, composer, resolved
from fedlit.settings.hydra_compat import Application
from fedlit.settings.overrides import parse, quoted, resume_override
from fedlit.settings.presets import check_presets
from fedlit.settings.resume import resume, resumed_folder
from fedlit.settings.saved import read_saved
from fedlit.sweeps.plan import make_plan
from fedlit.sweeps.resumed_sweep import jobs_of, line_of
from fedlit.sweeps.study_checks import checked_objective
from fedlit.sweeps.sweep import Sweep
from fedlit.sweeps.sweep_record import RecordedJob, SweepRecord, read_record
from fedlit.working_folder import in_folder

_OF_SWEEPS = ("hydra.launcher", "hydra.sweeper", "hydra.sweep.")  # keys and groups that one run does not read


@dataclass(frozen=True)
class SingleRun:
    """A run of one job: its configuration is composed already."""

    application: Application
    config: DictConfig  # with Hydra's own settings under `hydra`


@dataclass(frozen=True)
class Start:
    """A checked command line. `run_jobs` releases the lock on `folder`."""

    line: CommandLine
    overrides: list[str]
    config: DictConfig | None = None  # of a resumed run; else the configuration of the overrides
    folder: Path | None = None  # of the run, or of the sweep
    lock: FileLock | None = None
    begins_again: bool = False  # a resumed run of which nothing was saved
    progress: str = "none"  # how rounds are shown; "none" if nothing runs
    single: SingleRun | None = None
    sweep: Sweep | None = None  # with neither, Hydra's main runs: --cfg and the like

    def __reduce__(self) -> tuple[type[Start], tuple[object, ...]]:
        """On its way to a job of a sweep on another machine: the lock stays with the process that has it."""
        return Start, (self.line, self.overrides, self.config, self.folder, None, self.begins_again, self.progress)

    @property
    def flags(self) -> list[str]:
        """Hydra's flags as given."""
        return self.line.flags

    @property
    def multirun(self) -> bool:
        """Whether this is a sweep."""
        return self.line.multirun

    @contextmanager
    def held(self, folder: Path) -> Iterator[None]:
        """Lock the folder of one job of a sweep while it runs; a single run's is locked already."""
        if self.folder is not None and folder.resolve() == self.folder.resolve():
            if self.multirun:  # the one run of a sweep, in the sweep's folder
                write_format(folder)
            yield
            return
        lock = hold(folder)
        try:
            write_format(folder)
            yield
        finally:
            lock.release()


def prepare(arguments: Sequence[str]) -> Start:
    """Read and check a command line; InputError in one sentence. Nothing is trained and torch is not imported."""
    line = command_line.read(arguments)
    if not line.checks_overrides:
        return Start(line, line.overrides)
    folder = resumed_folder(line.overrides)
    record = None if folder is None else read_record(folder)
    if folder is not None and record is not None:
        return _resumed_sweep(line, folder.resolve() if ".." in folder.parts else folder, record)
    with composer(line.config_name, line.config_dir) as opened:
        if folder is not None:
            return _resumed(line, folder, opened)
        checked = check(line.overrides, opened, sweeps=line.multirun)
        if line.runs:
            return _fresh(line, checked, opened)
        without = [] if checked.composed.published is None else [f"~{PUBLISHED}"]  # Hydra's own loader keeps it
        return Start(line, [*checked.overrides, *without])


def job_config(start: Start, config: DictConfig, overrides: Sequence[str], folder: Path) -> DictConfig:
    """The configuration of one job. What a sweep made of its overrides is checked once more, with all values known; a
    run of a sweep that has rounds goes on."""
    if start.config is not None:
        return start.config
    if start.multirun:
        search_path = [override for override in start.overrides if override.startswith(SEARCH_PATH)]
        with composer(start.line.config_name, start.line.config_dir) as opened:
            composed = opened.compose([*overrides, *search_path])
            check_unused(composed)
            check_presets(composed)
            _refuse_resume(composed.config)
            check_composed(composed)
            if has_rounds(folder):
                return resume(folder, [*overrides, *search_path], opened).config
    return config


def _resumed(line: CommandLine, folder: Path, composer: Composer) -> Start:
    if line.multirun:
        raise InputError(f"resume={folder}: this is no sweep; resume one run without --multirun.")
    _refuse_words_of_sweeps(line)
    read_saved(folder)  # refuses a folder without a run before a file is written there
    lock = hold(folder) if line.runs else None
    resumed = resume(folder, line.overrides, composer)
    added = [f"hydra.run.dir={quoted(str(folder))}", "hydra.output_subdir=null"]
    single = _single_run(resumed.composed, added, composer) if line.runs else None
    overrides = [*resumed.overrides, *added]
    progress = _progress(resumed.config) if line.runs else "none"
    return Start(line, overrides, resumed.config, folder, lock, not resumed.has_state, progress, single=single)


def _resumed_sweep(line: CommandLine, folder: Path, record: SweepRecord) -> Start:
    line_in_folder = line_of(record, folder, line)
    settings = line_in_folder.config_name, line_in_folder.config_dir
    with in_folder(record.began_in), composer(*settings) as opened:
        checked = check(line_in_folder.overrides, opened, sweeps=True)
        return _fresh(line_in_folder, checked, opened, jobs_of(record, folder, line))


def _fresh(
    line: CommandLine, checked: Checked, composer: Composer, recorded: Sequence[RecordedJob] | None = None
) -> Start:
    if checked.composed.with_hydra.hydra.mode == RunMode.MULTIRUN:  # in a primary configuration of the user's
        line = replace(line, multirun=True)
    _refuse_resume(checked.composed.config)
    if line.multirun:
        return _sweep(line, checked, composer, recorded)
    tune = checked.composed.choices.get("tune")
    if tune is not None:
        raise InputError(f"tune={tune}: it chooses the values of many runs; add --multirun.")
    _refuse_words_of_sweeps(line)
    wanted = Path(str(resolved(checked.composed, "hydra.run.dir")))
    folder, lock = _claimed("hydra.run.dir", wanted, line, f"write {resume_override(wanted)} to go on with it, or ")
    write_format(folder)
    added = [_in_folder("hydra.run.dir", folder)]
    single = _single_run(checked.composed, added, composer)
    progress = _progress(checked.composed.config)
    overrides = [*checked.overrides, *added]
    return Start(line, overrides, None, folder.absolute(), lock, progress=progress, single=single)


def _sweep(line: CommandLine, checked: Checked, composer: Composer, recorded: Sequence[RecordedJob] | None) -> Start:
    """A sweep in a new folder, or in one that has runs of it already. Its record is written."""
    wanted = Path(str(resolved(checked.composed, "hydra.sweep.dir")))
    plan = make_plan(composer.application, line.config_name, checked.overrides, recorded)  # before a folder is made
    is_named = _is_named("hydra.sweep.dir", line)
    earlier = read_record(wanted) if is_named and blocks(wanted) else None
    with_hydra = checked.composed.with_hydra
    objective = None
    if plan.jobs is None:
        objective = checked_objective(checked.composed.config, with_hydra.hydra.sweeper, goes_on=earlier is not None)
    if earlier is None:
        if is_named:
            plan.placed(wanted, None)  # refuses before a file is written there
        folder, lock = _claimed("hydra.sweep.dir", wanted, line, "")
    else:
        folder, lock = wanted, hold(wanted)
    try:
        plan = plan.placed(folder, earlier)
        plan.clear_starts(folder)
        record = SweepRecord(
            line.overrides,
            line.config_name,
            None if line.config_dir is None else str(line.config_dir.absolute()),
            os.getcwd(),
            plan.values,
            plan.recorded(),
        )
        record.after(earlier).write(folder)
    except BaseException:
        lock.release()
        raise
    absolute = folder.absolute()  # Hydra may change the working directory (hydra.job.chdir)
    overrides = [*checked.overrides, _in_folder("hydra.sweep.dir", absolute)]
    began_in = Path(record.began_in)
    sweep = Sweep(composer.application, line.config_name, overrides, absolute, began_in, plan, objective, earlier)
    progress = _progress(checked.composed.config)
    return Start(line, overrides, None, absolute, lock, progress=progress, sweep=sweep)


def _claimed(key: str, wanted: Path, line: CommandLine, advice: str) -> tuple[Path, FileLock]:
    """A folder for a new run or sweep, and its lock: another one than the wanted one if that exists, except where the
    user has named it."""
    if not _is_named(key, line):
        folder = claim(wanted)
        return folder, hold(folder)
    lock = hold(wanted)
    if blocks(wanted):
        lock.release()
        raise InputError(f"{key}={wanted}: this folder holds a run already; {advice or 'give '}another folder.")
    clear_start(wanted)
    return wanted, lock


def _is_named(key: str, line: CommandLine) -> bool:
    return any(override.lstrip("+").startswith(f"{key}=") for override in line.overrides)


def _refuse_resume(config: DictConfig) -> None:
    """InputError where YAML or a sweeper's parameters resume a run: it would begin again, and in a sweep twice."""
    folder = OmegaConf.select(config, "resume")
    if folder is not None:
        raise InputError(
            f"resume={folder} stands in a configuration; a run is resumed by the command line alone: leave the key out "
            f"there, and write {resume_override(str(folder))}."
        )


def _refuse_words_of_sweeps(line: CommandLine) -> None:
    """InputError for `hydra/launcher=joblib` where one run is asked for: Hydra would not read it."""
    for override in line.overrides if line.runs else ():
        if override.lstrip("+~").replace("/", ".").startswith(_OF_SWEEPS):
            raise InputError(
                f"{override}: this is for the runs of a sweep, and without --multirun there is one run; add "
                "--multirun, or leave it out."
            )


def _in_folder(key: str, folder: Path) -> str:
    return f"{key}={quoted(str(folder))}"


def _progress(config: DictConfig) -> str:
    return str(OmegaConf.select(config, "progress"))


def _single_run(composed: Composed, added: Sequence[str], composer: Composer) -> SingleRun:
    """The composed configuration with further settings of Hydra."""
    config = composed.with_hydra
    for override in parse(added):
        OmegaConf.update(config, override.key_or_group, override.value())
    mode = ["hydra.mode=RUN"] if config.hydra.mode is None else []
    if config.hydra.mode == RunMode.MULTIRUN:  # a resumed run of a primary configuration that sweeps
        config.hydra.mode = RunMode.RUN
    config.hydra.overrides.hydra.extend([*added, *mode])  # the same record as Hydra's main writes
    return SingleRun(composer.application, config)
