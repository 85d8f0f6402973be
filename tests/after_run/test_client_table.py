"""The table of a measurement: what is shown, with which digits, and what the files hold."""

from __future__ import annotations

import csv
import json
import math

from fedlit.after_run.client_table import as_csv, as_json, as_markdown
from fedlit.after_run.measured import ClientLine, Measurement

TITLE = {"run": "tried"}


def lines_of(text: str) -> list[list[str]]:
    return [line.replace("|", " ").split() for line in text.splitlines()]


def test_samples_are_those_of_the_test_part_which_comes_first() -> None:
    used = {"validation_loss": (30.0, 20.0), "loss": (6.0, 3.0), "accuracy": (1.0, 2.0)}  # one sample has no class
    measurement = Measurement(
        {}, [ClientLine(4, {"used": used}), ClientLine(5, {"used": {"validation_loss": (1.0, 4.0)}})]
    )
    rows = list(csv.reader(as_csv(measurement).splitlines()))
    assert rows == [
        ["client", "samples", "used/loss", "used/accuracy", "used/validation_loss"],
        ["4", "3", "2.0", "0.5", "1.5"],
        ["5", "0", "", "", "0.25"],
    ]


def test_numbers_of_the_global_model_are_shown_once() -> None:
    """Only where every client has exactly these; then the files have them still."""
    tested, validated = {"loss": (1.0, 3.0)}, {"validation_loss": (0.5, 1.0)}
    row = {
        "global/test/loss": 1 / 3,
        "clients/global/loss/mean": 1 / 3,
        "clients/global/evaluated": 1,
        "clients/used/loss/mean": 1 / 3,
        "clients/used/validation_loss/mean": 0.5,
        "clients/used/evaluated": 1,
    }
    same = Measurement(dict(row), [ClientLine(0, {"global": tested, "used": tested | validated})])
    shown = as_markdown(same)
    assert lines_of(shown)[0] == ["client", "samples", "global/loss", "used/validation_loss"]
    assert lines_of(shown)[2] == ["0", "3", "0.3333", "0.5000"]
    assert "clients/used/loss" not in shown and "clients/used/evaluated" not in shown
    assert ["clients/used/validation_loss/mean", "0.5000"] in lines_of(shown)
    assert "used on test data: the numbers of global, which all these clients use" in shown
    assert json.loads(as_json(same, TITLE))["metrics"] == row
    assert as_csv(same).splitlines()[0] == "client,samples,global/loss,used/loss,used/validation_loss"

    personal = ClientLine(1, {"global": tested, "used": {"loss": (1.5, 3.0)} | validated})
    other = as_markdown(Measurement(dict(row), [*same.lines, personal]))
    assert lines_of(other)[0] == ["client", "samples", "global/loss", "used/loss", "used/validation_loss"]
    assert ["clients/used/loss/mean", "0.3333"] in lines_of(other) and "the numbers of global" not in other


def test_the_json_file_has_all_digits_and_no_nan() -> None:
    row = {"global/test/loss": math.nan, "global/test/accuracy": 2 / 3}
    lines = [ClientLine(-1, {"global": {"accuracy": (2.0, 3.0)}}), ClientLine(7, {"used": {"loss": (math.inf, 3.0)}})]
    saved = json.loads(as_json(Measurement(row, lines), TITLE), parse_constant=lambda name: 1 / 0)
    assert saved == {
        "run": "tried",
        "metrics": {"global/test/loss": None, "global/test/accuracy": 2 / 3},
        "clients": [
            {"client": "all", "samples": 3, "global/accuracy": 2 / 3, "used/loss": None},
            {"client": "7", "samples": 3, "global/accuracy": None, "used/loss": None},
        ],
    }
