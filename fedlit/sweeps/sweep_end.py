"""The end of a sweep: a table over seeds, the runs without a result and why, what to do next, and the exit code."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from fedlit.errors import BUG, InputError
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
from fedlit.tracking.terminal_text import relative

_WIDTH = 120  # where the terminal does not say


def exit_code(codes: Sequence[int]) -> int:
    """Of a sweep: that of its runs where they agree, such as 2 if all were refused; else 1, since some have failed."""
    return codes[0] if len(set(codes)) == 1 else BUG if codes else 0


def end_text(folder: Path, plan: Plan) -> str:
    """What is printed after the last run."""
    missing = without_result(folder, plan)
    total = len(plan.jobs) if plan.jobs is not None else len(runs_in(folder))
    parts = [f"{relative(folder)}: {total - len(missing)} of {counted(total, 'run')} finished"]
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


def without_result(folder: Path, plan: Plan) -> list[tuple[str, str]]:
    """(name, reason) of each run that is not finished."""
    places = (
        [folder / job.folder for job in plan.jobs] if plan.jobs is not None else [r.folder for r in runs_in(folder)]
    )
    reasons = [(place.name if place != folder else "run", _reason(place)) for place in places]
    return [(name, why) for name, why in reasons if why is not None]


def _reason(folder: Path) -> str | None:
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
    count = len(table.header)
    while count > table.texts + 1 and _width(table, count) > width:
        count -= 1
    is_marked = any(bold for row in table.rows for _, bold in row[:count])
    legend = "\n  * the best of the rows with the same data and partition" if is_marked else ""
    return _aligned(table, count) + legend


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
