"""clients.jsonl holds plain numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from fedlit.tracking.clients_file import ClientsFile
from tests.tracking.runs import about

FACTS = {
    "client": 3,
    "examples": 10,
    "received": {"accuracy": (3.0, 4.0), "loss": (math.nan, 4.0)},
    "trained": {},
    "loss": math.inf,
    "logged": {"rate": 0.1},
    "other_losses": {"fit_2": 0.5},
    "epochs": [{"train/loss": 0.3, "test/accuracy": 1.0}],
    "finite": True,
}


def test_pairs_become_means_and_numbers_that_are_not_finite_null(tmp_path: Path) -> None:
    file = ClientsFile()
    file.start(about(tmp_path))
    file.clients(1, [FACTS])
    (line,) = (tmp_path / "clients.jsonl").read_text().splitlines()
    client = json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert client == FACTS | {"round": 1, "received": {"accuracy": 0.75, "loss": None}, "loss": None}
    assert client["finite"] is True
