"""Engines: a round twice from a state, a resumed run, and errors of a protocol in a sentence."""

from __future__ import annotations

import json
import random
import re

import numpy as np
import pytest

from fedlit.early_stopping import EarlyStopping
from fedlit.errors import InputError
from fedlit.tracking import Loggers
from fedlit.vertical.contract_errors import BrokenProtocol, PartyFailed
from fedlit.vertical.engine import ALIGN, SETUP
from fedlit.vertical.party import Party
from fedlit.vertical.party_checkpoints import PartyCheckpoints
from fedlit.vertical.processes import Processes
from fedlit.vertical.rounds import cooperate, new_state
from fedlit.vertical.serial import Serial
from fedlit.vertical.state import from_bytes
from tests.slow import some_slow
from tests.vertical.broken import SENTENCES, STEPS, broken_round
from tests.vertical.toy import Means, Open, started, toy_data
from tests.vertical.toy_rows import TWO, plain, rows_of, states


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
    resumed, state = rows_of(folder, Serial(), rounds=4, resumed=loaded)
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


@pytest.mark.parametrize("number", STEPS)
def test_a_broken_protocol_is_one_sentence(number):
    with Serial() as engine, pytest.raises(BrokenProtocol, match=re.escape(SENTENCES[number])):
        broken_round(engine, number)


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


@pytest.mark.parametrize("kind", some_slow([Serial, Processes], [Serial]))
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


def test_a_stop_in_a_prediction_keeps_the_round_without_measures(tmp_path):
    rows, state = rows_of(tmp_path, Serial(), protocol=Means(stop_predicting_at=2), rounds=5)
    assert (len(rows), state.round, state.stopped) == (2, 2, "good enough")
    assert "global/test/r2" in rows[0] and "global/test/r2" not in rows[1]
    assert rows[1]["party/guest/hosts"] == 2 and rows[1]["comm/bytes"] == rows[0]["comm/bytes"]


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
        unsaved_round(engine, Unsaved(number))


def unsaved_round(engine, protocol):
    started(engine, protocol)
    engine.phase("round", 1, engine.phase(ALIGN, 0, new_state(engine.plan).parties).states)
