"""Parties in processes: the bits of `serial`, no columns of others in memory, and a kill in a sentence."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from fedlit.vertical.contract_errors import BrokenProtocol, PartyLost
from fedlit.vertical.engine import ALIGN, SETUP
from fedlit.vertical.party_checkpoints import PartyCheckpoints
from fedlit.vertical.processes import Processes
from fedlit.vertical.rounds import new_state
from fedlit.vertical.serial import Serial
from tests.slow import some_slow
from tests.vertical.broken import SENTENCES, broken_round
from tests.vertical.toy import Means, Open, Stream, toy_data, toy_plan
from tests.vertical.toy_rows import TWO, rows_of, states


def test_both_engines_and_both_ciphers_give_the_same_bits(tmp_path):
    serial, in_serial = rows_of(tmp_path / "serial", Serial())
    apart, in_processes = rows_of(tmp_path / "processes", Processes())
    opened, in_plain = rows_of(tmp_path / "plain", Serial(), cipher=Open())
    assert serial == apart
    assert states(in_serial) == states(in_processes) == states(in_plain)
    values = [{n: v for n, v in row.items() if not n.startswith("comm/")} for row in serial]
    assert values == [{n: v for n, v in row.items() if not n.startswith("comm/")} for row in opened]
    ledgers = [(tmp_path / name / "messages.jsonl").read_text() for name in ("serial", "processes")]
    assert ledgers[0] == ledgers[1]


@pytest.mark.parametrize("number", some_slow([1, 2, 3, 6], [1]))
def test_it_is_the_same_sentence_in_processes(number):
    with Processes() as engine, pytest.raises(BrokenProtocol, match=re.escape(SENTENCES[number])):
        broken_round(engine, number)


def test_a_killed_party_ends_the_run_and_the_run_goes_on(tmp_path):
    checkpoints = PartyCheckpoints(tmp_path, {}, 0, 2, ("guest", *TWO), {})
    killed = Means(killed=("right", 3))
    with pytest.raises(
        PartyLost, match="right, phase round of round 3: the process of this party was killed by signal 9"
    ):
        rows_of(tmp_path, Processes(), 4, killed, checkpoints=checkpoints)
    loaded = PartyCheckpoints(tmp_path, {}, 0, 2, ("guest", *TWO), {}).load()
    resumed, _ = rows_of(tmp_path, Serial(), 4, resumed=loaded)
    assert resumed == rows_of(tmp_path / "whole", Serial(), 4)[0]


def test_the_guest_has_no_column_of_the_host_in_its_memory():
    planted = 8126.0123456789101
    plan, data = toy_plan(cipher=Stream()), toy_data()
    data["host"].train[4, 1] = planted
    data["guest"].train[4, 1] = -planted
    with Processes() as engine:
        engine.start(plan, data, plan.ledger())
        states = engine.phase(SETUP, 0, engine.phase(ALIGN, 0, new_state(engine.plan).parties).states).states
        engine.phase("round", 1, states)
        pids = {name: process.pid for name, process in engine.processes.items()}
        found_in = {name: memory_has(pid, np.float64(planted).tobytes()) for name, pid in pids.items()}
        assert memory_has(pids["guest"], np.float64(-planted).tobytes())  # the search can find
    assert found_in == {"guest": False, "host": True}


def memory_has(pid: int, pattern: bytes) -> bool:
    """Whether the writable memory of a process has these bytes."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            if " rw" not in line:
                continue
            start, end = (int(number, 16) for number in line.split()[0].split("-"))
            try:
                memory.seek(start)
                if pattern in memory.read(end - start):
                    return True
            except (OSError, ValueError, OverflowError):
                continue
    return False


ORPHANS = """
import os, signal, sys
from fedlit.vertical.processes import Processes
from tests.slow import some_slow
from tests.vertical.toy import started
if __name__ == "__main__":
    engine = started(Processes())
    print(*(process.pid for process in engine.processes.values()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_a_party_ends_when_its_main_process_is_gone(tmp_path):
    (tmp_path / "script.py").write_text(ORPHANS)
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=60)
    pids = [int(word) for word in done.stdout.split()]
    assert done.returncode == -signal.SIGKILL and len(pids) == 2
    for _ in range(300):
        alive = [pid for pid in pids if os.path.exists(f"/proc/{pid}") and state_of(pid) != "Z"]
        if not alive:
            return
        time.sleep(0.1)
    raise AssertionError(f"still alive: {alive}")


def state_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


@pytest.mark.slow
def test_what_a_party_logs_is_in_the_log_of_the_run(tmp_path, caplog):
    rows_of(tmp_path, Processes(), rounds=1, protocol=Means(talks=True), hosts=("left",))
    assert ("toy", logging.WARNING, "left warns in round 1") in caplog.record_tuples
    assert any(name == "py.warnings" and "a warning of Python's" in text for name, _, text in caplog.record_tuples)
