"""The jobs of a sweep, known before the first one starts: their words, their folders, and how far each has come."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedlit.errors import InputError
from fedlit.failure_file import remove_failure
from fedlit.plurals import counted
from fedlit.run_folder import blocks, clear_start, has_rounds, hold, is_unmarked
from fedlit.saved_run import SavedRun, runs_in
from fedlit.settings.hydra_compat import Application, Planned, Swept
from fedlit.settings.hydra_reasons import reason
from fedlit.settings.overrides import quoted
from fedlit.sweeps.run_names import run_names
from fedlit.sweeps.same_run import Identity
from fedlit.sweeps.sweep_record import RecordedJob, SweepRecord

NUMBERS = "${hydra.job.num}"  # conf/config.yaml has it: names take its place where the jobs are known
_REMEDY = f"write hydra.sweep.subdir='{NUMBERS}'"
_AT_PLACE = "${hydra:"  # in a value: it is another one at another place in the sweep

State = Literal["new", "begun", "finished"]


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        overrides: the words of the task.
        folder: relative to the sweep's folder.
        state: "begun" if it goes on from a checkpoint.
        number: its place in the sweep, Hydra's `hydra.job.num`.
    """

    overrides: list[str]
    folder: str
    state: State = "new"
    number: int = 0

    @property
    def words(self) -> list[str]:
        """For the launcher: a job gets its folder, and the record of a run that goes on stays as it is."""
        kept = ["hydra.output_subdir=null"] if self.state == "begun" else []
        return [*self.overrides, f"hydra.sweep.subdir={quoted(self.folder)}", *kept]


@dataclass(frozen=True)
class Plan:
    """All jobs of a command line, in their order.

    Attributes:
        values: key -> the values that it takes, as they are written.
        jobs: without those that were written twice; None if the sweeper chooses its jobs as it goes on.
        doubled: the words of jobs that were written twice.
        runs_here: whether jobs run in this process, one after the other.
        named: whether the names of folders say what was varied; else `hydra.sweep.subdir` or a record has given them.
    """

    values: dict[str, list[str]]
    jobs: list[Job] | None = None
    doubled: tuple[str, ...] = ()
    runs_here: bool = True
    named: bool = False
    _planned: tuple[Planned, ...] = ()
    _batch: int | None = None

    def placed(self, folder: Path, record: SweepRecord | None) -> Plan:
        """This plan with the state of each job, where a sweep has been run in the folder already.

        Raises:
            InputError: a job's folder holds another run, or a run that has done more rounds than are wanted.
        """
        if self.jobs is None:
            return self
        if record is None:
            for job in self.jobs:
                if blocks(folder / job.folder):
                    raise InputError(
                        f"hydra.sweep.dir: {folder / job.folder}, the folder of a run of this sweep, holds a run "
                        "already; write hydra.sweep.dir=<another folder>."
                    )
            return self
        self._refuse_other_places(record)
        _clear_unmarked(folder, record)
        folders = self._folders_beside(record)
        identity = Identity([planned.config for planned in self._planned])
        saved: dict[str, list[SavedRun]] = {}
        for run in _readable_runs(folder):
            saved.setdefault(identity.key(run.config), []).append(run)
        jobs = []
        for job, planned, place in zip(self.jobs, self._planned, folders, strict=True):
            same = saved.get(identity.key(planned.config), [])
            same.sort(
                key=lambda run: run.folder not in (folder / job.folder, folder / place)
            )  # some may have been moved
            if same:
                place = os.path.relpath(same[0].folder, folder)
                jobs.append(replace(job, folder=place, state=_state(same[0], planned.config)))
                continue
            _refuse_other_run(folder / place, planned, identity)
            jobs.append(replace(job, folder=place))
        return replace(self, jobs=jobs)

    def _folders_beside(self, record: SweepRecord) -> list[str]:
        """The folders of the jobs beside the runs of an earlier command: their names say what either has varied."""
        jobs = self.jobs or []
        if not self.named:
            return [job.folder for job in jobs]
        folders = run_names([job.overrides for job in jobs], list(dict.fromkeys([*record.swept, *self.values])))
        _refuse_shared(folders, self._planned)
        return folders

    def clear_starts(self, folder: Path) -> None:
        """Remove what runs have left that are going to begin once more, and why others had failed that go on.

        Raises:
            InputError: another process is in one of the runs, such as a job of a cluster that outlived its sweep.
        """
        for job in self.jobs or ():
            place = folder / job.folder
            if job.state != "finished" and place.exists() and place != folder:
                hold(place).release()
            if job.state == "new":
                clear_start(place)
            elif job.state == "begun":
                remove_failure(place)

    def batches(self) -> list[tuple[int, list[list[str]]]] | None:
        """(number of the first job, words of each job) of what is launched at once; None without jobs."""
        if self.jobs is None:
            return None
        waiting = [job for job in self.jobs if job.state != "finished"]
        batches: list[list[Job]] = []
        for job in waiting:
            is_next = batches and (not self._at_place or batches[-1][-1].number + 1 == job.number)
            if is_next and len(batches[-1]) != self._batch:
                batches[-1].append(job)
            else:
                batches.append([job])
        return [(batch[0].number, [job.words for job in batch]) for batch in batches]

    def recorded(self) -> list[RecordedJob] | None:
        """The jobs for `sweep.json`."""
        return None if self.jobs is None else [RecordedJob(job.overrides, job.folder) for job in self.jobs]

    @property
    def _at_place(self) -> bool:
        """Whether a value depends on the place of a job in the sweep, such as model.place='${hydra:job.num}' for
        a class of the user's; keys of fedlit are checked before the first job, and are not taken from there."""
        return any(
            _AT_PLACE in OmegaConf.to_yaml(OmegaConf.masked_copy(planned.config, keys))
            for planned in self._planned
            for keys in [[str(key) for key in planned.config if key != "name"]]
        )

    def _refuse_other_places(self, record: SweepRecord) -> None:
        if not self._at_place or record.jobs is None or self.jobs is None:
            return
        if [job.overrides for job in record.jobs] != [job.overrides for job in self.jobs]:
            raise InputError(
                "hydra.sweep.dir: a value of this sweep is taken from ${hydra:...}, so that it depends on the place of "
                "a run in the sweep; runs cannot be added to it: write hydra.sweep.dir=<another folder>."
            )


def make_plan(
    application: Application, config_name: str, overrides: list[str], recorded: Sequence[RecordedJob] | None
) -> Plan:
    """The jobs of a sweep, with the folders that they would have in a new sweep.

    Args:
        application: Hydra's.
        config_name: the primary configuration.
        overrides: the words of the sweep.
        recorded: the jobs of a sweep that is resumed; None: those of the words.

    Raises:
        InputError: a job does not compose, or two jobs would have the same folder.
    """
    try:
        swept = application.swept(config_name, overrides)
        jobs = swept.jobs if recorded is None else [job.overrides for job in recorded]
        if swept.jobs is None or jobs is None:
            return Plan(swept.values, runs_here=swept.runs_here)
        planned = list(application.planned(config_name, overrides, jobs))
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(reason(error)) from error
    once, doubled = _without_doubled(planned)
    named = recorded is None and not _has_subdir(swept, overrides)
    if recorded is not None:
        folders = [job.folder for job in recorded]
    elif named:
        folders = run_names([job.overrides for job in once], list(swept.values))
    else:
        folders = [os.path.normpath(job.subdir) for job in once]
    _refuse_shared(folders, once)
    numbered = [
        Job(job.overrides, folder, number=number)
        for number, (job, folder) in enumerate(zip(once, folders, strict=True))
    ]
    return Plan(swept.values, numbered, tuple(doubled), swept.runs_here, named, tuple(once), swept.batch)


def _without_doubled(planned: Sequence[Planned]) -> tuple[list[Planned], list[str]]:
    """The jobs that differ, and the words of those that do not, as for seed=1,1."""
    identity = Identity([job.config for job in planned])
    first: dict[str, Planned] = {}
    doubled = []
    for job in planned:
        if first.setdefault(identity.key(job.config), job) is not job:
            doubled.append(" ".join(job.overrides))
    return list(first.values()), list(dict.fromkeys(doubled))


def _has_subdir(swept: Swept, overrides: Sequence[str]) -> bool:
    """Whether the user names the folders of runs."""
    return swept.subdir != NUMBERS or any(word.lstrip("+").startswith("hydra.sweep.subdir=") for word in overrides)


def _refuse_shared(folders: Sequence[str], planned: Sequence[Planned]) -> None:
    """InputError where two runs would have one folder, or one a name that no file system takes."""
    earlier: dict[str, Planned] = {}
    for folder, job in zip(folders, planned, strict=True):
        for name in Path(folder).parts:
            if len(os.fsencode(name)) > 255:
                raise InputError(
                    f"hydra.sweep.subdir: {name[:60]}..., the folder of a run of this sweep, has "
                    f"{len(os.fsencode(name))} bytes, and a name may have 255; {_REMEDY}."
                )
        if folder in earlier:
            different = [(a, b) for a, b in zip(earlier[folder].overrides, job.overrides, strict=True) if a != b]
            shown = [f"`{' '.join(pair[side] for pair in different)}`" for side in (0, 1)]
            raise InputError(
                f"hydra.sweep.subdir: the runs {shown[0]} and {shown[1]} of this sweep would have the same folder, "
                f"{folder}; name each swept key in it, or {_REMEDY}."
            )
        earlier[folder] = job


def _clear_unmarked(folder: Path, record: SweepRecord) -> None:
    """Remove the files of runs that were killed while Hydra wrote their record, before they were marked as runs."""
    for job in record.jobs or ():
        place = folder / job.folder
        if place != folder and is_unmarked(place):
            clear_start(place)


def _readable_runs(folder: Path) -> list[SavedRun]:
    """The runs that have a configuration; one that was killed while it was written has not begun."""
    readable = []
    for run in runs_in(folder):
        try:
            run.config  # noqa: B018
        except InputError:
            continue
        readable.append(run)
    return readable


def is_finished(folder: Path, config: DictConfig) -> bool:
    """Whether a run lies in the folder of a job that has done this number of rounds, or has stopped before it by the
    same `rounds` and `stop`."""
    try:
        return _state(SavedRun(folder), config) == "finished"
    except InputError:  # it has not begun
        return False


def _state(run: SavedRun, config: DictConfig) -> State:
    rounds = int(config.rounds)
    done = 0 if run.summary is None else int(run.summary.get("rounds", 0))
    if done > rounds:
        raise InputError(
            f"rounds={rounds}: {run.folder} has done {counted(done, 'round')} already; write rounds={done} or more."
        )
    has_stopped = run.summary is not None and bool(run.summary.get("stopped"))
    same_end = all(OmegaConf.select(run.config, key) == OmegaConf.select(config, key) for key in ("rounds", "stop"))
    if run.finished and (done == rounds or (has_stopped and same_end)):  # with another end, a stopped run goes on
        return "finished"
    return "begun" if has_rounds(run.folder) else "new"


def _refuse_other_run(folder: Path, planned: Planned, identity: Identity) -> None:
    """InputError where a run with other settings lies in the folder of a job."""
    if not blocks(folder):
        return
    try:
        differences = identity.differences(SavedRun(folder).config, planned.config)
    except InputError:
        differences = []
    changed = f" with other settings ({'; '.join(differences[:6])})" if differences else ""
    raise InputError(
        f"hydra.sweep.dir: {folder} holds a run{changed} where a run of this sweep would lie; write "
        "hydra.sweep.dir=<another folder>."
    )
