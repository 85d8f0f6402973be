"""The protocol of docs/vertical.md runs as it stands there, and computes what the page says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from fedlit.data.embedded_tables import diabetes
from fedlit.vertical.what_travels import table
from tests.markdown import CHECKOUT, blocks, commands, run, section, write


def test_the_protocol_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    page = section((CHECKOUT / "docs" / "vertical.md").read_text(encoding="utf-8"), "A protocol of your own")
    code = blocks(page)
    assert [path.name for path in write(code, tmp_path)] == ["mine.py", "sides.yaml"]
    [line] = commands(code)
    assert run(line, tmp_path, "rounds=1", "progress=none", "logger=none", "hydra.run.dir=run") == 0
    [row] = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert np.isclose(row["global/test/mse"], expected_mse())
    assert "clear: the number of people above the median" in table(Path("run"))


def expected_mse() -> float:
    data = diabetes().columns
    names = [name for name in data.columns if name in host_columns(data)]
    place = data.columns.index(names[0])
    median = np.median(data.train[:, place])
    above, test = data.train[:, place] > median, data.test[:, place] > median
    scores = np.where(test, data.train_target[above].mean(), data.train_target[~above].mean())
    return float(((data.test_target - scores) ** 2).mean())


def host_columns(data) -> tuple[str, ...]:
    from fedlit.vertical.columns import Named

    return Named().share(data, 0)["host"]
