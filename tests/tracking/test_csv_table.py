"""metrics.csv: the round stands first, also after new metrics and a resume."""

from __future__ import annotations

import csv
from pathlib import Path

from tests.small_runs import command, rows

QUICK = [
    *("clients=3", "rounds=2", "threads=1", "device=cpu", "progress=none", "model=logistic", "logger=csv"),
    *("checkpoint.every=0", "evaluation.every=2", "hydra.run.dir=run"),  # round 2 has more metrics than round 1
]


def test_the_first_column_is_the_round(in_folder: Path) -> None:
    assert command(*QUICK) == 0
    assert command("resume=run", "rounds=3") == 0
    with open("run/metrics.csv", newline="") as file:
        header, *lines = csv.reader(file)
    expected = rows(Path("run"))
    assert header[0] == "round" and set(header) == {"step", *(name for row in expected for name in row)}
    assert [line[0] for line in lines] == ["1", "2", "3"]
    for line, row in zip(lines, expected, strict=True):
        written = {name: float(value) for name, value in zip(header, line, strict=True) if value and name != "step"}
        assert written == row
