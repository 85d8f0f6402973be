"""What was measured, as a table with a row for each client."""

from __future__ import annotations

import csv
import io
import math

from fedlit.after_run.measured import Measurement
from fedlit.evaluation.tally import Totals
from fedlit.metric_names import PERSONAL, client_group
from fedlit.report.shown_table import ShownTable, number, plain_row

Cell = float | str


def header_and_rows(measurement: Measurement) -> tuple[list[str], list[list[Cell]]]:
    """The columns are client, samples, and the metrics of each model; NaN where a client has no value."""
    columns: list[tuple[str, str]] = []
    for line in measurement.lines:
        for model, totals in line.models.items():
            columns += [(model, metric) for metric in totals if (model, metric) not in columns]
    rows: list[list[Cell]] = []
    for line in measurement.lines:
        cells = [_value(line.models.get(model, {}), metric) for model, metric in columns]
        samples = max((count for totals in line.models.values() for _, count in totals.values()), default=0)
        rows.append(["all" if line.client < 0 else str(line.client), str(int(samples)), *cells])
    return ["client", "samples", *(f"{model}/{metric}" for model, metric in columns)], rows


def as_markdown(measurement: Measurement) -> str:
    """For the terminal, then the metrics over clients with all digits."""
    header, rows = header_and_rows(measurement)
    shown = [[cell if isinstance(cell, str) else number(cell) for cell in row] for row in rows]
    table = ShownTable(header, [plain_row(row) for row in shown], texts=1).markdown() if rows else ""
    equal = f"{client_group(PERSONAL)}/"  # the numbers of clients/used once more
    named = {name: value for name, value in measurement.row.items() if not name.startswith(equal)}
    width = max(map(len, named), default=0)
    return table + "\n" + "".join(f"{name:{width}}  {value}\n" for name, value in named.items())


def as_csv(measurement: Measurement) -> str:
    """With all digits; an absent value is an empty field."""
    header, rows = header_and_rows(measurement)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if isinstance(c, float) and math.isnan(c) else c for c in row] for row in rows])
    return text.getvalue()


def _value(totals: Totals, metric: str) -> float:
    total, count = totals.get(metric, (math.nan, 1.0))
    return total / count
