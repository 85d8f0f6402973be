"""What was measured, as a table with a row for each client."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence

from fedlit.after_run.measured import Measurement
from fedlit.evaluation.tally import Totals
from fedlit.metric_names import GLOBAL, PERSONAL, USED, client_group, clients_evaluated, is_validation_metric
from fedlit.report.shown_table import ShownTable, plain_row

Cell = float | str


def header_and_rows(measurement: Measurement) -> tuple[list[str], list[list[Cell]]]:
    """The columns are client, test samples, and the metrics of each model, those on test data first; NaN where a client
    has no value."""
    columns = _columns(measurement)
    rows: list[list[Cell]] = []
    for line in measurement.lines:
        cells = [_value(line.models.get(model, {}), metric) for model, metric in columns]
        counts = (
            count
            for totals in line.models.values()
            for metric, (_, count) in totals.items()
            if not is_validation_metric(metric)
        )
        rows.append(["all" if line.client < 0 else str(line.client), str(int(max(counts, default=0))), *cells])
    return ["client", "samples", *(f"{model}/{metric}" for model, metric in columns)], rows


def as_markdown(measurement: Measurement) -> str:
    """For the terminal, with about four digits, then the metrics over clients. Numbers of `used` that are those of
    `global` are not shown a second time."""
    header, rows = header_and_rows(measurement)
    hidden = [f"{client_group(PERSONAL)}/"]  # the numbers of clients/used once more
    places, note = list(range(len(header))), ""
    if _same_models(measurement):
        metrics = [metric for model, metric in _columns(measurement) if model == GLOBAL]
        hidden += [clients_evaluated(USED), *(f"{client_group(USED)}/{metric}/" for metric in metrics)]
        equal = {f"{USED}/{metric}" for metric in metrics}
        places = [place for place in places if header[place] not in equal]
        note = f"\n{USED} on test data: the numbers of {GLOBAL}, which all these clients use\n"
    columns = [_texts([row[place] for row in rows]) for place in places]
    table = ShownTable(
        [header[place] for place in places], [plain_row(texts) for texts in zip(*columns, strict=True)], texts=1
    )
    named = {name: value for name, value in measurement.row.items() if not name.startswith(tuple(hidden))}
    width = max(map(len, named), default=0)
    listed = "".join(f"{name:{width}}  {_texts([value])[0]}\n" for name, value in named.items())
    return "\n".join(part for part in (table.markdown() if rows else "", listed) if part) + note


def as_csv(measurement: Measurement) -> str:
    """The table with all digits; an absent value is an empty field."""
    header, rows = header_and_rows(measurement)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if isinstance(c, float) and math.isnan(c) else c for c in row] for row in rows])
    return text.getvalue()


def as_json(measurement: Measurement, facts: dict[str, str]) -> str:
    """The metrics and the table with all digits; a value that is absent or not finite is null."""
    header, rows = header_and_rows(measurement)
    clients = [
        {name: int(cell) if name == "samples" else _finite(cell) for name, cell in zip(header, row, strict=True)}
        for row in rows
    ]
    metrics = {name: _finite(value) for name, value in measurement.row.items()}
    return json.dumps(facts | {"metrics": metrics, "clients": clients}, indent=1) + "\n"


def _columns(measurement: Measurement) -> list[tuple[str, str]]:
    """(model, metric), the models in the order in which they were measured."""
    columns: dict[tuple[str, str], None] = {}
    for line in measurement.lines:
        for model, totals in line.models.items():
            columns.update(dict.fromkeys((model, metric) for metric in totals))
    models = list(dict.fromkeys(model for model, _ in columns))
    return sorted(columns, key=lambda column: (models.index(column[0]), is_validation_metric(column[1])))


def _same_models(measurement: Measurement) -> bool:
    """Whether the models that clients use have all numbers of the global one, on the test data of each client."""
    lines = [line.models for line in measurement.lines]
    if not lines or not all(GLOBAL in models and USED in models for models in lines):
        return False
    on_test = [
        {metric: totals for metric, totals in models[USED].items() if not is_validation_metric(metric)}
        for models in lines
    ]
    return all(used == models[GLOBAL] for used, models in zip(on_test, lines, strict=True))


def _texts(values: Sequence[Cell]) -> list[str]:
    """The cells of a column, the numbers with as many decimals as its largest one calls for.

    >>> _texts([0.91, 0.93812]), _texts([1234.56, 2.0]), _texts([math.nan, 0.00001234]), _texts([4])
    (['0.9100', '0.9381'], ['1234.56', '2.00'], ['-', '1.234e-05'], ['4'])
    """
    numbers = [value for value in values if isinstance(value, float) and math.isfinite(value)]
    largest = max(map(abs, numbers), default=0.0)
    form = ".3e" if 0 < largest < 0.001 or largest >= 1e8 else ".4f" if largest < 100 else ".2f"
    return [
        ("-" if not math.isfinite(value) else format(value, form)) if isinstance(value, float) else str(value)
        for value in values
    ]


def _finite(value: Cell) -> Cell | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _value(totals: Totals, metric: str) -> float:
    total, count = totals.get(metric, (math.nan, 1.0))
    return total / count
