"""The end of a sweep: a table over seeds, the runs without a result and why, what to do next, and the exit code."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from fedlit.errors import BUG, InputError
from fedlit.metric_names import base_metric, on_test
from fedlit.plurals import counted
from fedlit.report.columns import columns
from fedlit.report.grid import read_grid
from fedlit.report.results import results
from fedlit.report.results_table import results_table
from fedlit.report.shown_table import ShownTable
from fedlit.run_folder import has_rounds
from fedlit.saved_rounds import resume_command
from fedlit.saved_run import SavedRun, runs_in
from fedlit.sweeps.plan import Plan
from fedlit.sweeps.sweep_record import jobs_beside
from fedlit.tracking.terminal_text import relative

_WIDTH = 120  # where the terminal does not say


def exit_code(codes: Sequence[int]) -> int:
    """Of a sweep: that of its runs where they agree, such as 2 if all were refused; else 1, since some have failed."""
    return codes[0] if len(set(codes)) == 1 else BUG if codes else 0


def end_text(folder: Path, plan: Plan) -> str:
    """What is printed after the last run."""
    places = _places(folder, plan)
    missing = [(place.name if place != folder else "run", why) for place in places if (why := _reason(place))]
    others = 0 if plan.jobs is None else len(places) - len(plan.jobs)
    beside = f", with {others} of earlier commands" if others else ""
    parts = [f"{relative(folder)}: {len(places) - len(missing)} of {counted(len(places), 'run')} finished{beside}"]
    table = _table(folder)
    parts += [table] if table else []
    parts += [f"  {name}  {why}" for name, why in missing]
    place = shlex.quote(relative(folder))
    commands = [("report", f"python -m fedlit.report {place}")] if table else []
    if next(folder.rglob("events.out.tfevents.*"), None) is not None:
        commands.append(("curves", f"tensorboard --logdir {place}"))
    if missing:
        commands.append(("again", resume_command(folder)))
    return "\n".join([*parts, *(f"{name}: {command}" for name, command in commands)])


def _places(folder: Path, plan: Plan) -> list[Path]:
    """The folders of the runs: those of this command, then those of earlier ones, which are in the table too."""
    if plan.jobs is None:
        return [run.folder for run in runs_in(folder)]
    jobs = [job.folder for job in plan.jobs]
    return [folder / job for job in (*jobs, *jobs_beside(folder, jobs))]


def _reason(folder: Path) -> str | None:
    """Why a run is not finished; None if it is."""
    try:
        run = SavedRun(folder)
        if run.failure is not None:
            return f"failed: {run.failure}"
        if run.finished:
            return None
    except InputError:
        return "has not begun"
    return f"was stopped after round {run.rows[-1]['round']}" if has_rounds(folder) and run.rows else "has no round"


def _table(folder: Path) -> str | None:
    """The table of the report, as wide as the terminal; None without a finished run."""
    try:
        grid = read_grid([folder])
        shown = columns([run for group in grid.groups for run in group.runs.values()])
        cells = results(grid, shown, [])
    except InputError:
        return None
    width = shutil.get_terminal_size((_WIDTH, 24)).columns
    table = results_table(grid, shown, cells)
    on_test_data = all(base_metric(column.metric) and on_test(column.metric) == column.metric for column in shown)
    heading = f"  of the last round{', on test data' if on_test_data else ''}: mean ± standard deviation (seeds)"
    count = len(table.header)
    while count > table.texts + 1 and _width(table, count) > width:
        count -= 1
    is_marked = any(bold for row in table.rows for _, bold in row[:count])
    legend = "\n  * the best of the rows with the same data and partition" if is_marked else ""
    return f"{heading}\n{_aligned(table, count)}{legend}"


def _texts(table: ShownTable, count: int) -> list[list[str]]:
    rows = [[f"{text}*" if bold else text for text, bold in row] for row in table.rows]
    return [row[:count] for row in (table.header, *rows)]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _width(table: ShownTable, count: int) -> int:
    return sum(width + 2 for width in _widths(_texts(table, count)))


def _aligned(table: ShownTable, count: int) -> str:
    rows = _texts(table, count)
    widths = _widths(rows)
    return "\n".join(
        "  "
        + "  ".join(
            text.ljust(width) if place < table.texts else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
