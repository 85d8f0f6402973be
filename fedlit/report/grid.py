"""The runs of a report by what was varied, with a note on each run and each cell that is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from pathlib import Path

from fedlit.errors import InputError
from fedlit.metric_names import USED, client_model, is_global
from fedlit.plurals import counted
from fedlit.report.varied_keys import ABSENT, Setup, other_differences, swept_keys, varied_keys
from fedlit.saved_rounds import resume_command
from fedlit.saved_run import SavedRun, runs_in
from fedlit.sweeps.sweep_record import readable_record

_PROBLEM = ("data", "partition", "clients", "evaluation", "server_samples")
_HOW_OFTEN = ("evaluation.every", "evaluation.each_epoch", "evaluation.per_client", "evaluation.batch_size")

_MOST_NOTES = 20


@dataclass
class Group:
    """The runs that differ in their seeds alone: a row of the table."""

    values: tuple[str, ...]  # by swept key
    runs: dict[int, SavedRun] = field(default_factory=dict)  # by seed, without failed and unfinished ones
    left_out: dict[int, str] = field(default_factory=dict)  # seed -> why
    problem: Mapping[str, str] = field(default_factory=dict)
    """The settings that say what is learnt and measured, whether they are swept keys, or a swept key such as
    `experiment` has set them. Rows are compared where these are equal."""


@dataclass
class Grid:
    """What was run.

    Attributes:
        keys: swept keys, without the seed.
        groups: in the order of the sweep.
        notes: sentences on what is missing or was left out.
        ended: False if no run is finished, so values are those of the last round that all have reached.
        round: the round whose values are read; None: the last one of each run.
    """

    keys: list[str]
    groups: list[Group]
    notes: list[str]
    ended: bool
    round: int | None

    def name(self, group: Group) -> str:
        """`aggregator=fedavg, partition.alpha=0.1`; where nothing was varied, the name of the only run."""
        pairs = [f"{key}={value}" for key, value in zip(self.keys, group.values, strict=True) if value != ABSENT]
        if pairs or len(group.runs) != 1:
            return ", ".join(pairs) or "all runs"
        return next(iter(group.runs.values())).name


def read_grid(folders: Sequence[Path], at_round: int | None = None) -> Grid:
    """Read the runs of run and sweep folders, and group them by what was varied.

    Args:
        folders: of runs and sweeps.
        at_round: the round whose values are wanted; None: each run's last.

    Raises:
        InputError: a folder is neither, or no run in them has finished a round.
    """
    notes: list[str] = []
    all_runs = {run.folder.resolve(): run for folder in folders for run in runs_in(folder)}.values()
    runs = [run for run in all_runs if _has_settings(run, notes)]
    if not any(run.rows for run in runs):
        raise InputError(
            f"{', '.join(map(str, folders))}: no run has finished a round yet; wait for the first one, or, where none "
            f"is running, write {resume_command(folders[0])}."
        )
    setups = [Setup(run) for run in runs]
    keys = varied_keys(setups, swept_keys(folders))
    ended = any(run.finished for run in runs)
    going_on = [run for run in runs if run.rows and not run.failure]
    if not ended and at_round is None and going_on:
        at_round = _last_common_round(going_on)
        notes.append(f"No run is finished: values are those of round {at_round}, the last one that all have evaluated.")
    groups: dict[tuple[str, ...], Group] = {}
    for run, setup in zip(runs, setups, strict=True):
        values = tuple(setup.value(key) for key in keys)
        group = groups.setdefault(values, Group(values, problem=_problem(setup)))
        _add(group, run, setup.seed, at_round, notes)
    if others := other_differences(setups, keys):
        shown = ", ".join(others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
        notes.append(f"Rows also differ in settings that are no columns: {shown}.")
    if not any(group.runs for group in groups.values()):
        reason = next(iter(next(iter(groups.values())).left_out.values()))
        raise InputError(f"{', '.join(map(str, folders))}: no run can be used; the first one {reason.rstrip('.')}.")
    grid = Grid(keys, list(groups.values()), notes, ended, at_round)
    notes += _unreadable(runs) + _left_out(grid) + _missing(grid, folders)
    return grid


def _problem(setup: Setup) -> dict[str, str]:
    return {key: text for key, text in setup.part(_PROBLEM).items() if key not in _HOW_OFTEN}


def _last_common_round(runs: Sequence[SavedRun]) -> int:
    """The last round that all runs have evaluated; the last one that all have reached, if there is none."""
    evaluated = [
        {int(row["round"]) for row in run.rows if any(is_global(name) or client_model(name) == USED for name in row)}
        for run in runs
    ]
    return max(set.intersection(*evaluated), default=min(int(run.rows[-1]["round"]) for run in runs))


def _has_settings(run: SavedRun, notes: list[str]) -> bool:
    """Whether the configuration of a run can be read; a note says where it cannot."""
    try:
        return run.config is not None
    except InputError as error:
        notes.append(str(error))
        return False


def _add(group: Group, run: SavedRun, seed: int, at_round: int | None, notes: list[str]) -> None:
    """Add a run, or the reason why its values are not used."""
    reason = _why_left_out(run, at_round)
    if seed in group.runs:
        notes.append(f"{run.folder}: the same settings and seed as {group.runs[seed].folder}, which is used alone.")
    elif reason is None:
        group.runs[seed] = run
        group.left_out.pop(seed, None)
    else:
        group.left_out[seed] = reason


def _why_left_out(run: SavedRun, at_round: int | None) -> str | None:
    if run.failure:
        return f"failed: {run.failure}"
    if not run.rows:
        return "has no finished round"
    last = run.rows[-1]["round"]
    if at_round is not None:
        has_round = any(row["round"] == at_round for row in run.rows)
        return None if has_round else f"has not reached round {at_round} (last round: {last})"
    return None if run.finished else f"is not finished (round {last} of {run.config.rounds})"


def _left_out(grid: Grid) -> list[str]:
    return [
        f"{grid.name(group)}: seed {seed} is left out, it {reason.rstrip('.')}."
        for group in grid.groups
        for seed, reason in group.left_out.items()
    ]


def _unreadable(runs: Sequence[SavedRun]) -> list[str]:
    return [
        f"{run.folder}: {counted(run.unread_lines, 'line')} cannot be read, because a kill cut the file off; the "
        "rounds before are used."
        for run in runs
        if run.unread_lines
    ]


def _missing(grid: Grid, folders: Sequence[Path]) -> list[str]:
    """Seeds that other rows have, cells that no run fills, planned jobs that have not begun, and single seeds."""
    notes = []
    seeds = sorted({seed for group in grid.groups for seed in (*group.runs, *group.left_out)})
    for group in grid.groups:
        absent = [str(seed) for seed in seeds if seed not in group.runs and seed not in group.left_out]
        if absent:
            notes.append(f"{grid.name(group)}: no run with seed {', '.join(absent)}; the mean is over fewer seeds.")
        if len(group.runs) == 1:
            notes.append(f"{grid.name(group)}: a single seed, so there is no standard deviation and no test.")
    waiting = [f"{folder / job}" for folder in folders for job in _not_begun(folder)]
    notes += [f"{job}: planned in the sweep, and not begun." for job in waiting]
    cells = [] if waiting else _empty_cells(grid)
    notes += [f"{cell}: no run has these values." for cell in cells]
    rest = len(notes) - _MOST_NOTES
    return notes if rest <= 1 else [*notes[:_MOST_NOTES], f"{rest} more seeds or cells are missing."]


def _not_begun(folder: Path) -> list[str]:
    record = readable_record(folder)
    jobs = (record and record.jobs) or ()
    return [job.folder for job in jobs if not (folder / job.folder / ".hydra").exists()]


def _empty_cells(grid: Grid) -> list[str]:
    """The combinations of swept values that no run has, where each run has a value of each key."""
    values = [list(dict.fromkeys(column)) for column in zip(*(group.values for group in grid.groups), strict=True)]
    is_product = not any(ABSENT in column for column in values) and prod(map(len, values)) <= 4 * len(grid.groups)
    if not is_product or len(grid.groups) < 3:
        return []
    filled = {group.values for group in grid.groups}
    return [grid.name(Group(cell)) for cell in product(*values) if cell not in filled]
