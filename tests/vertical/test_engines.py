"""Engines: the same bits in both, a round twice from a state, and errors of a protocol in a sentence."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from fedlit.early_stopping import EarlyStopping
from fedlit.errors import InputError
from fedlit.tracking import About, Loggers, MetricsFile
from fedlit.vertical.contract_errors import BrokenProtocol, PartyFailed, PartyLost
from fedlit.vertical.engine import ALIGN, SETUP
from fedlit.vertical.party import Party, Recv, Send
from fedlit.vertical.party_checkpoints import PartyCheckpoints
from fedlit.vertical.processes import Processes
from fedlit.vertical.rounds import cooperate, new_state
from fedlit.vertical.serial import Serial
from fedlit.vertical.state import from_bytes
from tests.slow import some_slow
from tests.vertical.toy import Means, Open, Stream, started, toy_data, toy_plan

TWO = ("left", "right")


def rows_of(folder, engine, rounds=3, protocol=None, cipher=None, hosts=TWO, resumed=None, checkpoints=None):
    """The rows and the last state of a run, whose files lie in the folder."""
    folder.mkdir(exist_ok=True)
    with engine:
        started(engine, protocol, cipher, hosts)
        state = resumed or new_state(engine.plan)
        loggers = Loggers([MetricsFile()])
        loggers.start(About(folder, "toy", {}, rounds, state.round))
        cooperate(engine, state, rounds, loggers, checkpoints, folder=folder)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if not name.startswith("time/")} for row in rows], state


def plain(value):
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return value.numpy().tobytes() if torch.is_tensor(value) else value


def states(state):
    return {name: plain(from_bytes(saved)) for name, saved in state.parties.items()}


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


def test_the_rows_have_measures_facts_and_bytes(tmp_path):
    rows, state = rows_of(tmp_path / "run", Serial(), rounds=2)
    data = toy_data(TWO)
    shared = set.intersection(*(set(d.train_ids) for d in data.values()))
    kept = {n: [p for p, i in enumerate(d.train_ids) if i in shared] for n, d in data.items()}
    guest = data["guest"].train[kept["guest"]].mean(0).sum()
    hosts = sum(data[name].train[kept[name]].mean(0).sum() for name in TWO)
    assert np.isclose(from_bytes(state.parties["guest"])["mean"], guest + 2 * hosts)
    assert list(rows[0])[:3] == ["round", "global/test/r2", "global/test/mse"]
    assert rows[0]["party/left/train_rows"] == len(shared) and "party/left/train_rows" not in rows[1]
    assert rows[1]["party/guest/hosts"] == 2 and rows[1]["party/right/columns"] == 3
    entries = [json.loads(line) for line in (tmp_path / "run" / "messages.jsonl").read_text().splitlines()]
    for row in rows:
        of_round = [e for e in entries if e["round"] == row["round"] and e["phase"] in ("round", "predict")]
        assert row["comm/bytes"] == sum(e["bytes"] for e in of_round) > 0
        assert row["comm/left_to_guest/bytes"] == sum(e["bytes"] for e in of_round if e["from"] == "left")
    assert {e["phase"] for e in entries} == {"align", "setup", "round"}
    assert state.best["round"] in (1, 2) and "global/test/r2" in state.best


@pytest.mark.parametrize("kind", some_slow([Serial, Processes], [Serial]))
def test_a_round_twice_from_a_state_gives_the_same(kind):
    with kind() as engine:
        started(engine)
        first = engine.phase(SETUP, 0, engine.phase(ALIGN, 0, new_state(engine.plan).parties).states).states
        ends = [engine.phase("round", 1, first) for _ in range(2)]
    assert [{n: plain(from_bytes(s)) for n, s in end.states.items()} for end in ends] == [
        {n: plain(from_bytes(s)) for n, s in ends[0].states.items()}
    ] * 2
    assert ends[0].facts == ends[1].facts


def test_a_resumed_run_has_the_same_bits(tmp_path):
    rows, whole_run = rows_of(tmp_path / "whole", Serial(), rounds=4)
    folder = tmp_path / "cut"
    checkpoints = PartyCheckpoints(folder, {}, 0, 2, ("guest", *TWO), {})
    rows_of(folder, Serial(), rounds=2, checkpoints=checkpoints)
    with open(folder / "messages.jsonl", "a") as file:  # of a round that was not saved, and a line that was cut
        file.write('{"round": 3, "phase": "round", "from": "left", "to": "guest", "bytes": 9}\n{"round": 3, "ph')
    loaded = PartyCheckpoints(folder, {}, 0, 2, ("guest", *TWO), {}).load()
    assert loaded.round == 2
    resumed, state = rows_of(folder, Processes(), rounds=4, resumed=loaded)
    assert resumed == rows and states(state) == states(whole_run) and state.bytes == whole_run.bytes
    entries = [json.loads(line) for line in (folder / "messages.jsonl").read_text().splitlines()]
    assert [e["round"] for e in entries if e["phase"] == "round" and e["from"] == "left"] == [1, 2, 3, 4]
    assert [e["round"] for e in entries if e["phase"] == "setup" and e["to"] == "left"] == [0, 2]


def test_no_key_is_in_a_file_of_the_run(tmp_path):
    letters = []
    engine = Serial()
    engine.taps.append(letters.append)
    rows_of(tmp_path, engine, checkpoints=PartyCheckpoints(tmp_path, {}, 0, 2, ("guest", *TWO), {}))
    keys = [letter.content[-16:] for letter in letters if letter.name == "key"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(keys) == 2 and any(path.name == "party_guest.pt" for path in files)
    assert not any(
        key in path.read_bytes() or key.hex().encode() in path.read_bytes() for key in keys for path in files
    )


class Silent(Party):
    def round(self, state, number):
        return state, {}
        yield


class Waiting(Party):
    def __init__(self, steps):
        self.steps = steps

    def round(self, state, number):
        yield from self.steps
        return state, {}


class Wrong(Means):
    """The guest has the given steps, the host none."""

    def party(self, name, data, hosts, cipher, task):
        return Waiting(STEPS[self.stop_at]) if name == "guest" else Silent()


NUMBER = {"value": np.zeros(1)}
STEPS = {
    1: [Recv("host", "histograms")],
    2: [Send("host", "thanks", {"sum": np.zeros(1)})],
    3: [Send("ghost", "thanks", {"sum": np.zeros(1)})],
    4: [Recv("ghost", "histograms")],
    5: [Send("host", "means", NUMBER)],
    6: ["a text"],
    7: [Send("host", "thanks", {"sum": np.array([None])})],
    8: [Send("host", "hello", {})],
}
SENTENCES = {
    1: "guest waits for histograms from host, and nobody sends them.",
    2: "guest has sent thanks to host, and host does not read it.",
    3: "guest sends thanks to ghost, and the other parties are host.",
    4: "guest waits for histograms from ghost, and the other parties are host.",
    5: "guest sends means.value to host in the clear, and the protocol's `clear` does not declare it; seal it",
    6: "guest, phase round of round 1: a party yields Send or Recv, and this is a str.",
    7: "part sum of a message is an array of object; send an array of numbers",
    8: "guest sends hello to host in the clear",
}


@pytest.mark.parametrize("number", STEPS)
def test_a_broken_protocol_is_one_sentence(number):
    with Serial() as engine, pytest.raises(BrokenProtocol, match=re.escape(SENTENCES[number])):
        broken_round(engine, number)


@pytest.mark.parametrize("number", some_slow([1, 2, 3, 6], [1]))
def test_it_is_the_same_sentence_in_processes(number):
    with Processes() as engine, pytest.raises(BrokenProtocol, match=re.escape(SENTENCES[number])):
        broken_round(engine, number)


def broken_round(engine, number):
    started(engine, Wrong(number))
    engine.phase("round", 1, engine.phase(ALIGN, 0, new_state(engine.plan).parties).states)


def test_under_plain_each_part_may_travel_in_the_clear(tmp_path):
    rows_of(tmp_path, Serial(), cipher=Open(), protocol=None)
    entries = [json.loads(line) for line in (tmp_path / "messages.jsonl").read_text().splitlines()]
    assert {e["why"] for e in entries if e["message"] == "means"} == {"the cipher seals nothing"}
    assert {e["why"] for e in entries if e["message"] == "thanks"} == {"a sum over columns"}


def test_a_leak_is_refused_and_leaves_no_entry(tmp_path):
    with pytest.raises(BrokenProtocol, match="left sends means.leak to guest in the clear"):
        rows_of(tmp_path, Serial(), protocol=Means(leaks=True))
    entries = [json.loads(line) for line in (tmp_path / "messages.jsonl").read_text().splitlines()]
    assert {e["phase"] for e in entries} == {"align", "setup"}


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


@pytest.mark.parametrize("kind", [Serial, Processes])
def test_a_raising_party_is_named_and_keeps_its_trace(kind, tmp_path):
    with pytest.raises(PartyFailed, match="left, phase round of round 2: KeyError: 'a bug'") as caught:
        rows_of(tmp_path, kind(), protocol=Means(raises=("left", 2)))
    cause = caught.value.__cause__
    assert isinstance(cause, KeyError) or "toy.py" in str(cause)
    assert [json.loads(line)["round"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1]


@pytest.mark.parametrize("kind", some_slow([Serial, Processes], [Serial]))
def test_a_stop_drops_its_round(kind, tmp_path):
    rows, state = rows_of(tmp_path, kind(), protocol=Means(stop_at=3), rounds=5)
    assert (len(rows), state.round, state.stopped) == (2, 2, "enough")


def test_early_stopping_follows_a_measure(tmp_path):
    with Serial() as engine:
        started(engine)
        state = new_state(engine.plan)
        cooperate(engine, state, 9, Loggers(), early_stopping=EarlyStopping("global/test/mse", target=1e9))
    assert state.round == 1 and "global/test/mse" in state.stopped


class Unsaved(Means):
    def party(self, name, data, hosts, cipher, task):
        return Keeping(self.stop_at)


class Keeping(Party):
    def __init__(self, number):
        self.kept = {1: np.zeros(3), 2: 1 << 2040, 3: {"deep": [np.float64(1.0)]}, 4: random.Random(1)}[number]

    def round(self, state, number):
        return {"kept": self.kept}, {}
        yield


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "the state of guest: ['kept'] is a ndarray, which no checkpoint can hold; keep a tensor"),
        (2, "the state of guest: ['kept'] is an integer of 2,041 bits"),
        (3, "the state of guest: ['kept']['deep'][0] is a float64"),
        (4, "the state of guest: ['kept'] is a Random, which no checkpoint can hold"),
    ],
)
def test_a_state_that_could_not_be_read_is_refused(number, words):
    with Serial() as engine, pytest.raises(InputError, match=re.escape(words)):
        broken_round_of(engine, Unsaved(number))


def broken_round_of(engine, protocol):
    started(engine, protocol)
    engine.phase("round", 1, engine.phase(ALIGN, 0, new_state(engine.plan).parties).states)


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
