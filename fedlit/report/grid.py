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
from fedlit.report.named_folders import named_folders
from fedlit.report.row_values import row_order, short_texts
from fedlit.report.varied_keys import ABSENT, Setup, other_differences, swept_values, varied_keys
from fedlit.saved_rounds import resume_command
from fedlit.saved_run import SavedRun, runs_in
from fedlit.sweeps.sweep_record import SweepRecord, readable_record

_PROBLEM = ("data", "partition", "columns", "clients", "evaluation", "server_samples")
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
        short: by swept key: value -> how it is shown.
    """

    keys: list[str]
    groups: list[Group]
    notes: list[str]
    ended: bool
    round: int | None
    short: list[dict[str, str]]

    def shown_values(self, group: Group) -> list[str]:
        """The swept values of a row as they are shown; `values` of the group are exact."""
        return [of_key.get(value, value) for of_key, value in zip(self.short, group.values, strict=True)]

    def name(self, group: Group) -> str:
        """`aggregator=fedavg, partition.alpha=0.1`; where nothing was varied, the name of the only run."""
        pairs = [
            f"{key}={text}" for key, text in zip(self.keys, self.shown_values(group), strict=True) if text != ABSENT
        ]
        if pairs or len(group.runs) != 1:
            return ", ".join(pairs) or "all runs"
        return next(iter(group.runs.values())).name


def read_grid(folders: Sequence[Path], at_round: int | None = None) -> Grid:
    """Read the runs of run and sweep folders, and group them by what was varied.

    Args:
        folders: of runs and sweeps, or folders that hold some.
        at_round: the round whose values are wanted; None: each run's last.

    Raises:
        InputError: a folder is neither, or no run in them has finished a round.
    """
    notes: list[str] = []
    named = folders
    folders = named_folders(named)
    all_runs = {run.folder.resolve(): run for folder in folders for run in _runs(folder, named, notes)}.values()
    runs = [run for run in all_runs if _has_settings(run, notes)]
    if not runs and notes:
        raise InputError(
            notes[0] if len(notes) == 1 else f"{notes[0]} {counted(len(notes) - 1, 'more folder')} likewise."
        )
    if not any(run.rows for run in runs):
        raise InputError(
            f"{', '.join(map(str, named))}: no run has finished a round yet; wait for the first one, or, where none "
            f"is running, write {resume_command(folders[0])}."
        )
    setups = [Setup(run) for run in runs]
    swept = swept_values(folders)
    keys = varied_keys(setups, list(swept))
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
        raise InputError(f"{', '.join(map(str, named))}: no run can be used; the first one {reason.rstrip('.')}.")
    order = row_order(keys, list(groups), swept)
    rows = sorted(groups, key=order)
    short = [short_texts(list(dict.fromkeys(of_key))) for of_key in zip(*rows, strict=True)]
    grid = Grid(keys, [groups[values] for values in rows], notes, ended, at_round, short)
    notes += _unreadable(runs) + _left_out(grid) + _missing(grid, folders)
    return grid


def _runs(folder: Path, named: Sequence[Path], notes: list[str]) -> list[SavedRun]:
    """The runs of a folder. One that lies below a named folder and cannot be read is a note."""
    try:
        return runs_in(folder)
    except InputError as error:
        if folder in named:
            raise
        notes.append(str(error))
        return []


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
    """Seeds that other rows have, cells that no run fills, planned jobs that have not begun, and single seeds. Where a
    sweeper such as Optuna has chosen the runs, other seeds and cells are no holes."""
    records = {folder: readable_record(folder) for folder in folders}
    studies = [folder for folder, record in records.items() if record is not None and record.jobs is None]
    groups = [group for group in grid.groups if not _is_within(group, studies)]
    notes = []
    seeds = sorted({seed for group in groups for seed in (*group.runs, *group.left_out)})
    for group in groups:
        absent = [str(seed) for seed in seeds if seed not in group.runs and seed not in group.left_out]
        if absent:
            notes.append(f"{grid.name(group)}: no run with seed {', '.join(absent)}; the mean is over fewer seeds.")
    notes += _single_seeds(grid)
    waiting = [f"{folder / job}" for folder, record in records.items() for job in _not_begun(folder, record)]
    notes += [f"{job}: planned in the sweep, and not begun." for job in waiting]
    notes += [
        f"{folder}: a sweeper has chosen these runs by results; the best of them on test data looks better than it is."
        for folder in studies
    ]
    cells = [] if waiting or studies else _empty_cells(grid)
    notes += [f"{cell}: no run has these values." for cell in cells]
    rest = len(notes) - _MOST_NOTES
    return notes if rest <= 1 else [*notes[:_MOST_NOTES], f"{rest} more seeds or cells are missing."]


def _is_within(group: Group, folders: Sequence[Path]) -> bool:
    """Whether all runs of a row lie in one of these folders."""
    return bool(folders) and all(
        any(run.folder.is_relative_to(folder) for folder in folders) for run in group.runs.values()
    )


def _single_seeds(grid: Grid) -> list[str]:
    consequence = "a single seed, so there is no standard deviation and no test."
    single = [group for group in grid.groups if len(group.runs) == 1]
    if len(single) > 1 and all(len(group.runs) <= 1 for group in grid.groups):
        return [f"Each row has {consequence}"]
    return [f"{grid.name(group)}: {consequence}" for group in single]


def _not_begun(folder: Path, record: SweepRecord | None) -> list[str]:
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
