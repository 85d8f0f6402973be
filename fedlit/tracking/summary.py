"""summary.json: the results of a run in a few numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedlit.atomic_files import write_text
from fedlit.evaluation.headline import best_row, choosing_metric
from fedlit.metric_names import COHORT_IDLE, COHORT_LOST, USED, Row, base_metric, client_metric, is_time, on_test
from fedlit.tracking.logger import Summary
from fedlit.tracking.metrics_file import plain

NAME = "summary.json"


def summarise(
    rows: Sequence[Row],
    folder: Path,
    seconds: float | None = None,
    targets: Mapping[str, Any] | None = None,
    stopped: str | None = None,
) -> Summary:
    """The results of a run. All values are valid JSON: None for NaN.

    Args:
        rows: as in metrics.jsonl, each with its "round", of all rounds, also those before a resume.
        folder: the run folder.
        seconds: duration of the run; None: the sum of the rounds' `time/...`.
        targets: see `fedlit.tracking.targets.Targets.summary`.
        stopped: why the run ended before its last round.

    Returns:
        "rounds" completed; "last", the last row; "best" (None if no accuracy and no loss was measured), with "round",
        "metric", "value", "chosen_by" ("validation" or "test"), "test", the value of the same metric on test data in
        that round, and "used", that of the models that clients use, weighted by their numbers of test samples;
        "seconds"; "lost" and "idle", numbers of clients over all rounds; "targets" and "stopped" as given; "folder".
    """
    if seconds is None:
        seconds = sum(_total(rows, name) for name in {name for row in rows for name in row if is_time(name)})
    return {
        "rounds": int(rows[-1]["round"]) if rows else 0,
        "last": {name: plain(value) for name, value in rows[-1].items()} if rows else {},
        "best": _best(rows),
        "seconds": round(seconds, 3),
        "lost": int(_total(rows, COHORT_LOST)),
        "idle": int(_total(rows, COHORT_IDLE)),
        "targets": dict(targets or {}),
        "stopped": stopped,
        "folder": str(folder),
    }


def is_complete(summary: Summary, rounds: int) -> bool:
    """Whether a run of `rounds` rounds has ended: after its last round or by a `Stop`, and not by a signal."""
    return summary["rounds"] >= rounds or summary.get("stopped") is not None


def write(summary: Summary, folder: Path) -> None:
    """Replace summary.json in the run folder atomically."""
    write_text(folder / NAME, json.dumps(summary, indent=2, allow_nan=False) + "\n")


def _best(rows: Sequence[Row]) -> dict[str, Any] | None:
    choice = choosing_metric(rows)
    if choice is None:
        return None
    name, chosen_by = choice
    row = best_row(rows, name)
    on_test_data = on_test(name)
    used = client_metric(USED, str(base_metric(on_test_data)), "weighted")
    return {
        "round": int(row["round"]),
        "metric": name,
        "value": plain(row[name]),
        "chosen_by": chosen_by,
        "test": plain(row.get(on_test_data, float("nan"))),
        "used": plain(row.get(used, float("nan"))),
    }


def _total(rows: Sequence[Row], name: str) -> float:
    return sum(value for row in rows if (value := plain(row.get(name, 0))) is not None)
