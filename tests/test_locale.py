"""Runs under locales whose encoding lacks the characters of names: columns, classes, sites, files, values, figures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.data.tables import table
from tests.small_runs import numbers

PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
WORDS = ["data=csv_sites", "data.path=sites/*.csv", 'data.target="größe"', 'data.classes=["groß","klein"]']
WORDS += ["partition=natural", "clients=2", 'name="Köln"', "rounds=1", "threads=1", "device=cpu", "model=logistic"]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_names_that_ascii_lacks(tmp_path: Path, engine: str) -> None:
    (tmp_path / "sites").mkdir()
    for site in ("Zürich", "東京"):
        content = table(["groß", "klein"] * 8, names="a,b,größe")
        (tmp_path / "sites" / f"{site}.csv").write_text(content, encoding="utf-8")
    for run, locale in (("utf8", {"LC_ALL": "C.UTF-8"}), ("plain", PLAIN)):
        done = subprocess.run(
            [sys.executable, "-m", "fedlit.run", *WORDS, f"engine={engine}", f'hydra.run.dir="{run}-Läufe"'],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), **locale},
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert "Köln" in (tmp_path / f"{run}-Läufe" / "run.log").read_text(encoding="utf-8")
    assert numbers(tmp_path / "plain-Läufe") == numbers(tmp_path / "utf8-Läufe")
