"""A report: its numbers, and the files that it writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedlit.atomic_files import write_bytes, write_text
from fedlit.report.client_spread import spread_figure
from fedlit.report.columns import Column, columns
from fedlit.report.comparisons import Comparison, comparisons
from fedlit.report.curves import curves_figure, ragged_notes
from fedlit.report.figures import paper_style, save
from fedlit.report.grid import Grid, read_grid
from fedlit.report.heat_map import heat_map
from fedlit.report.options import Options
from fedlit.report.results import Results, results
from fedlit.report.tables import comparisons_markdown, frame, latex, markdown
from fedlit.report.targets import reached, targets_markdown


@dataclass
class Report:
    """All numbers of a report.

    Attributes:
        tests: of all columns; those of the first column are shown.
        notes: sentences on what is missing, was left out, or cannot be concluded.
    """

    options: Options
    grid: Grid
    columns: list[Column]
    cells: Results
    tests: list[Comparison]
    notes: list[str]

    @property
    def shown_tests(self) -> list[Comparison]:
        """The tests of the first column."""
        return [test for test in self.tests if test.metric == self.columns[0].metric]


def make_report(options: Options) -> Report:
    """Read the runs and compute the numbers.

    Raises:
        InputError: a folder, a metric or the baseline is of nothing in the runs.
    """
    grid = read_grid(options.folders, options.round)
    used = [run for group in grid.groups for run in group.runs.values()]
    shown = columns(used, options.metrics)
    notes = list(grid.notes)
    cells = results(grid, shown, notes)
    tests: list[Comparison] = []
    for column in shown:
        doubts = notes if column is shown[0] else []
        tests += comparisons(grid, column, cells, options.baseline, options.test, doubts)
    notes += ragged_notes(grid, shown[0].metric)
    return Report(options, grid, shown, cells, tests, notes)


def write_report(report: Report) -> Path:
    """Write all files of the report into its folder, each atomically; returns the folder."""
    folder = report.options.out
    folder.mkdir(parents=True, exist_ok=True)
    grid, shown, cells = report.grid, report.columns, report.cells
    write_text(folder / "table.md", "\n".join(_markdown_parts(report)))
    write_text(folder / "table.csv", frame(grid, shown, cells, report.tests).to_csv(index=False, lineterminator="\n"))
    write_text(folder / "table.tex", latex(grid, shown, cells))
    entries = reached(grid, shown[0], cells, report.options.targets)
    write_text(folder / "rounds_to_target.md", targets_markdown(grid, shown[0], entries))
    with paper_style():
        drawn = {
            "curves": curves_figure(grid, shown),
            "clients": spread_figure(grid, shown[0].metric),
            "heat_map": heat_map(grid, shown[0], cells),
        }
        for name, figure in drawn.items():
            if figure is not None:
                save(figure, folder, name)
    return folder


def legend(report: Report) -> str:
    """How the table is read: one paragraph."""
    grid = report.grid
    place = "of the last round of each run" if grid.round is None else f"of round {grid.round}"
    text = f"Values {place}: mean ± standard deviation over seeds (number of seeds). "
    text += "↑ higher is better, ↓ lower is better. Bold: the best of the rows with the same data and partition. "
    return text + "† a seed whose value is NaN or missing was left out."


def test_legend(report: Report) -> str:
    """How the tests are read: one paragraph."""
    against = ",".join(f"{key}={value}" for key, value in report.options.baseline.items()) or "the best row"
    name = {"t": "t test", "wilcoxon": "Wilcoxon signed-rank test"}[report.options.test]
    return (
        f"`{report.columns[0].metric}` against {against}: paired {name} by seed, two-sided; Holm's correction over "
        f"the {len(report.shown_tests)} comparisons of this table. Rows are compared with the same data and partition."
    )


def _markdown_parts(report: Report) -> Iterator[str]:
    yield legend(report) + "\n"
    yield markdown(report.grid, report.columns, report.cells)
    if report.shown_tests:
        yield test_legend(report) + "\n"
        yield comparisons_markdown(report.grid, report.shown_tests)
    if report.notes:
        yield "Notes:\n"
        yield "\n".join(f"- {note}" for note in report.notes) + "\n"
