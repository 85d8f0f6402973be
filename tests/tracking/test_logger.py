from __future__ import annotations

import numpy as np
import pytest

from fedlit.tracking import Logger, Loggers
from tests.tracking.runs import about


class Recorder(Logger):
    def __init__(self, name: str, calls: list, fails: bool = False):
        self.name, self.calls, self.fails = name, calls, fails

    def round(self, number, row, pictures):
        self.calls.append((self.name, "round", number, row, sorted(pictures)))

    def close(self):
        self.calls.append((self.name, "close"))
        if self.fails:
            raise OSError("disk full")


class Talker(Recorder):
    def start(self, about):
        self.calls.append((self.name, "start", about.name))

    def cohort(self, number, size):
        self.calls.append((self.name, "cohort", number, size))

    def client_done(self, number, done):
        self.calls.append((self.name, "client_done", number, done))

    def finish(self, summary):
        self.calls.append((self.name, "finish", summary))


def test_loggers_are_called_in_order_and_need_only_round(tmp_path):
    calls: list = []
    both = Loggers([Recorder("a", calls), Talker("b", calls)])
    both.start(about(tmp_path))
    both.cohort(1, 3)
    both.client_done(1, 2)
    both.round(1, {"train/loss": 2.0}, {"confusion": np.eye(2)})
    both.finish({"rounds": 1})
    both.close()
    row = {"train/loss": 2.0}
    assert calls == [
        ("b", "start", "a run"),
        ("b", "cohort", 1, 3),
        ("b", "client_done", 1, 2),
        ("a", "round", 1, row, ["confusion"]),
        ("b", "round", 1, row, ["confusion"]),
        ("b", "finish", {"rounds": 1}),
        ("a", "close"),
        ("b", "close"),
    ]


def test_all_loggers_are_closed_even_if_one_raises():
    calls: list = []
    with pytest.raises(OSError, match="disk full"):
        Loggers([Recorder("a", calls, fails=True), Recorder("b", calls)]).close()
    assert calls == [("a", "close"), ("b", "close")]


def test_what_a_logger_gets_is_printed_without_configuration_and_arrays(tmp_path):
    described = about(tmp_path)
    assert repr(described).startswith("About(folder=")
    assert "optimizer" in described.config and "optimizer" not in repr(described)
    assert described.histogram is not None and "array" not in repr(described)
