from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fedlit.tracking import MetricsFile
from fedlit.tracking.metrics_file import read
from tests.tracking.runs import about, row


def write(folder, numbers, resumed_after=0):
    file = MetricsFile()
    file.start(about(folder, resumed_after=resumed_after))
    for number in numbers:
        file.round(number, row(number), {})
    file.close()


def test_rounds_are_read_as_written(tmp_path):
    write(tmp_path, [1, 2, 3])
    assert read(tmp_path / "metrics.jsonl") == [{"round": n, **row(n)} for n in (1, 2, 3)]


def test_a_line_is_on_disk_when_its_round_ends(tmp_path):
    file = MetricsFile()
    file.start(about(tmp_path))
    file.round(1, row(1), {})
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 1


def test_every_line_is_json_also_with_nan_and_numpy_numbers(tmp_path):
    file = MetricsFile()
    file.start(about(tmp_path))
    file.round(1, {"a": math.nan, "b": -math.inf, "c": np.float32(0.5), "d": np.int64(2**40)}, {})

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    line = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=refuse)
    assert line == {"round": 1, "a": None, "b": None, "c": 0.5, "d": 2**40}
    again = read(tmp_path / "metrics.jsonl")[0]
    assert math.isnan(again["a"]) and math.isnan(again["b"])


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_resume_drops_later_rounds_and_a_cut_line(tmp_path, cut):
    write(tmp_path, [1, 2, 3, 4])
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    write(tmp_path, [3, 4, 5], resumed_after=2)
    assert [line["round"] for line in map(json.loads, path.read_text().splitlines())] == [1, 2, 3, 4, 5]
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_cut_line_and_garbage_are_skipped(tmp_path):
    write(tmp_path, [1, 2])
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-5] + b"\n\x00\x00\xff\n")
    assert [line["round"] for line in read(path)] == [1]


def test_a_fresh_run_starts_an_empty_file(tmp_path):
    write(tmp_path, [1, 2])
    write(tmp_path, [1])
    assert [line["round"] for line in read(tmp_path / "metrics.jsonl")] == [1]


def test_a_round_that_is_in_the_file_already_is_refused(tmp_path):
    write(tmp_path, [1, 2])
    file = MetricsFile()
    file.start(about(tmp_path, resumed_after=2))
    with pytest.raises(ValueError, match="round 2"):
        file.round(2, row(2), {})


def test_lines_survive_sigkill(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from fedlit.tracking import MetricsFile; from tests.tracking.runs import about, row\n"
        "file = MetricsFile(); file.start(about(Path(sys.argv[1])))\n"
        "for n in range(1, 10**9): file.round(n, row(n), {}); print(n, flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 20:
        time.sleep(0)
    os.kill(process.pid, signal.SIGKILL)
    printed = [20, *map(int, process.stdout.read().split())]
    process.wait()
    process.stdout.close()
    rounds = [line["round"] for line in read(tmp_path / "metrics.jsonl")]
    assert rounds == list(range(1, len(rounds) + 1))
    assert len(rounds) >= printed[-1] - 1  # the last number may have been cut in its own print
