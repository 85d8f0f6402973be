"""The files of a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from fedlit.atomic_files import write_text
from fedlit.plurals import counted
from fedlit.report.client_curves import client_curves_figure
from fedlit.report.client_spread import spread_figure
from fedlit.report.columns import equality_text
from fedlit.report.curves import curves_figure
from fedlit.report.figures import fit_layout, paper_style, picture, save
from fedlit.report.heat_map import heat_map
from fedlit.report.page import Section, page
from fedlit.report.report import Report
from fedlit.report.results_table import results_table
from fedlit.report.runs_file import RUNS, refuse_other_report, runs_table
from fedlit.report.tables import comparisons_table, frame, latex
from fedlit.report.targets import targets_legend, targets_table

_PICTURES = {  # name: title, how it is read
    "curves": (
        "By round, bytes and seconds",
        "The mean over seeds, with a band of one standard deviation. A curve ends with the first of its seeds, and has "
        "a gap where the value of a seed is not finite.",
    ),
    "clients": (
        "Distribution over clients",
        "The mean over clients with a bar of one standard deviation over clients, the mean of the worst tenth of them, "
        "and the worst client; each is the mean over seeds.",
    ),
    "client_curves": (
        "Each client by round",
        "A thin line for each client of one seed, and their mean. The runs wrote these values by "
        "evaluation.per_client=true.",
    ),
    "heat_map": ("Both swept keys", "The mean and standard deviation over seeds."),
}


def write_report(report: Report) -> list[Path]:
    """Write all files of the report into its folder, each atomically, and remove pictures of an earlier report that
    this one lacks; returns the files."""
    folder = report.options.out
    refuse_other_report(report.options)
    folder.mkdir(parents=True, exist_ok=True)
    grid, shown, cells = report.grid, report.columns, report.cells
    sections = _table_sections(report)
    texts = {
        "table.md": _markdown(sections, report.notes),
        "table.csv": frame(grid, shown, cells, report.tests).to_csv(index=False, lineterminator="\n"),
        "table.tex": latex(grid, shown, cells),
        "rounds_to_target.md": target_text(report),
        RUNS: runs_table(report.grid),
    }
    with paper_style():
        pictures = _pictures(report)
        for name, figure in pictures.items():
            save(figure, folder, name)
        sections += [
            Section(*_PICTURES[name], svg=picture(figure, "svg"), style="heat" if name == "heat_map" else "wide")
            for name, figure in pictures.items()
        ]
    sections.append(_targets(report))
    texts["report.html"] = page(_title(report), _summary(report), report.notes, sections, grid)
    for name, text in texts.items():
        write_text(folder / name, text)
    drawn = [folder / f"{name}.{suffix}" for name in pictures for suffix in ("pdf", "png")]
    for name in _PICTURES.keys() - pictures.keys():
        for suffix in ("pdf", "png"):
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    return [*(folder / name for name in texts), *drawn]


def target_text(report: Report) -> str:
    """The content of rounds_to_target.md."""
    return _markdown([_targets(report)], [])


def _pictures(report: Report) -> dict[str, Figure]:
    grid, first = report.grid, report.columns[0]
    drawn = {
        "curves": curves_figure(grid, report.columns),
        "clients": spread_figure(grid, first.metric),
        "client_curves": client_curves_figure(grid, first.metric),
        "heat_map": heat_map(grid, first, report.cells),
    }
    return {name: fit_layout(figure) for name, figure in drawn.items() if figure is not None}


def _table_sections(report: Report) -> list[Section]:
    grid = report.grid
    place = "of the last round of each run" if grid.round is None else f"of round {grid.round}"
    legend = (
        f"Values {place}: mean ± standard deviation over seeds (number of seeds). ↑ higher is better, ↓ lower is "
        "better. Bold: the best of the rows with the same data and partition."
    )
    if any(cell.left_out for cell in report.cells.values()):
        legend += " † a seed without a finite value was left out."
    legend = f"{legend} {equality_text(report.columns)}".strip()
    sections = [Section("Results", legend, results_table(grid, report.columns, report.cells))]
    if report.shown_tests and any(len(group.runs) > 1 for group in grid.groups):
        against = ",".join(f"{key}={value}" for key, value in report.baseline.items())
        name = {"t": "t test", "wilcoxon": "Wilcoxon signed-rank test"}[report.options.test]
        text = (
            f"{report.columns[0].metric} against {against or 'the best row'}: paired {name} by seed, two-sided, with "
            f"Holm's correction over the {counted(len(report.shown_tests), 'comparison')} of this table. "
            f"{'' if against else 'Rows are compared where data and partition are the same.'}"
        )
        sections.append(Section("Comparisons", text.strip(), comparisons_table(grid, report.shown_tests)))
    return sections


def _targets(report: Report) -> Section:
    text = targets_legend(report.columns[0], report.targets)
    table = targets_table(report.grid, report.targets) if report.targets else None
    return Section("Rounds to a target", text, table)


def _markdown(sections: Sequence[Section], notes: Sequence[str]) -> str:
    parts = []
    for section in sections:
        parts.append(section.text)
        parts += [] if section.table is None else [section.table.markdown().rstrip("\n")]
    if notes:
        parts += ["Notes:", "\n".join(f"- {note}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def _title(report: Report) -> str:
    return ", ".join(folder.resolve().name for folder in report.options.folders)


def _summary(report: Report) -> str:
    groups = report.grid.groups
    runs = sum(len(group.runs) for group in groups)
    left_out = sum(len(group.left_out) for group in groups)
    text = f"{counted(runs, 'run')} in {counted(len(groups), 'row')}"
    return f"{text}, {counted(left_out, 'run')} left out." if left_out else f"{text}."
