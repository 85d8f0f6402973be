"""store=disk: rows, and what a kill leaves of them."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from fedlit.errors import InputError
from fedlit.stores import DiskStore
from fedlit.stores.disk import NAME
from tests.stores.test_stores import CPU, head, number

CHECKOUT = Path(__file__).parents[2]


def opened(folder: Path, round: int = 0, saved: dict | None = None) -> DiskStore:
    store = DiskStore()
    store.open(folder, CPU)
    store.load(round, saved or {})
    return store


def rows(store: DiskStore) -> list[tuple[int, int]]:
    """(client, round) of every row."""
    return store._open().execute("SELECT client, round FROM states ORDER BY client, round").fetchall()


def put(store: DiskStore, round: int, *clients: int) -> None:
    store.put(round, [(client, head(100 * round + client)) for client in clients])


def test_between_checkpoints_a_client_has_one_row(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for round in (1, 2, 3):
        put(store, round, 1, round + 10)
    assert rows(store) == [(1, 3), (11, 1), (12, 2), (13, 3)]


def test_what_a_checkpoint_needs_stays_and_the_rest_goes(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, 1, 1, 2)
    put(store, 2, 1)
    store.keep(2, 2)
    put(store, 3, 1, 3)
    put(store, 4, 1)
    assert rows(store) == [(1, 2), (1, 4), (2, 1), (3, 3)]  # of client 1: the checkpoint's and the newest
    store.keep(2, 4)
    put(store, 5, 1)
    assert rows(store) == [(1, 2), (1, 4), (1, 5), (2, 1), (3, 3)]
    store.keep(4, 5)  # the checkpoint of round 2 is gone
    assert rows(store) == [(1, 4), (1, 5), (2, 1), (3, 3)]
    store.keep(5, 5)
    assert rows(store) == [(1, 5), (2, 1), (3, 3)]


def test_rows_past_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for round in range(1, 7):
        put(store, round, 1, round % 3 + 10)
        if round in (2, 4):
            saved = store.save()
            store.keep(2, round)
    store.close()
    for round in (4, 2):  # the newest checkpoint; then the one before it, as if the newest were damaged
        store = opened(tmp_path, round, saved)
        assert number(store.get([1])[0]) == 100 * round + 1
        assert max(r for _, r in rows(store)) == round
        states = dict(store.items())
        assert {c: number(s) for c, s in states.items() if c > 1} == (
            {10: 310, 11: 411, 12: 212} if round == 4 else {11: 111, 12: 212}
        )
        store.close()


def test_a_run_that_begins_again_has_no_states(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, 1, 1)
    store.close()
    assert rows(opened(tmp_path)) == []


def test_states_of_another_run_or_none_are_refused(tmp_path: Path) -> None:
    one, other = opened(tmp_path / "one"), opened(tmp_path / "other")
    saved = one.save()
    assert saved != other.save()
    one.close()
    other.close()
    with pytest.raises(InputError, match=r"other.clients.sqlite holds the clients' states of another run; put .*\."):
        opened(tmp_path / "other", 0, saved)
    with pytest.raises(InputError, match=r"third.clients.sqlite is not there, and with it the clients' states; put .*"):
        opened(tmp_path / "third", 0, saved)


def test_a_file_that_is_none_or_open_elsewhere_is_said(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("no database, and long enough to be asked for one " * 100)
    with pytest.raises(InputError, match=r"clients.sqlite cannot be used \(file is not a database\); put .*\."):
        opened(tmp_path)


def test_a_checkpoint_costs_what_was_put_since_the_last(tmp_path: Path) -> None:
    """Counted in steps of SQLite's machine, which do not depend on the clock."""

    def steps(clients: int) -> int:
        store = opened(tmp_path / str(clients))
        store.put(1, [(c, head(c)) for c in range(clients)])
        store.keep(1, 1)
        counted = 0

        def count() -> None:
            nonlocal counted
            counted += 1

        store._open().set_progress_handler(count, 10)
        for round in (2, 3):
            put(store, round, *range(0, clients, clients // 20))
            store.get(range(20))
            store.save()
            store.keep(round, round)
        return counted

    few, many = steps(200), steps(20_000)
    assert many < 1.5 * few


WRITER = """
    import sys, torch
    from pathlib import Path
    from fedlit.stores import DiskStore

    store = DiskStore()
    store.open(Path(sys.argv[1]), torch.device("cpu"))
    store.load(0, {})
    round = 0
    while True:
        round += 1
        store.put(round, [(c, {"algorithm": {"head": torch.full((5000,), float(round))}}) for c in range(200)])
        print(round, flush=True)
"""


@pytest.mark.parametrize("at", [1, 2, 5, 9])
def test_a_kill_leaves_a_round_whole_or_not_there(tmp_path: Path, at: int) -> None:
    """Four megabytes a round: the kill meets a transaction half-way, or nearly always."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) == at:
            break
    process.send_signal(signal.SIGKILL)
    printed, _ = process.communicate()
    said = max([at, *map(int, printed.split())])

    with sqlite3.connect(tmp_path / NAME) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (saved,) = file.execute("SELECT id FROM run").fetchone()
    file.close()
    store = opened(tmp_path, 1_000_000, {"id": saved})
    states = dict(store.items())
    found = {s["algorithm"]["head"].unique().item() for s in states.values()}
    assert len(states) == 200 and len(found) == 1
    assert found <= {float(said), said + 1.0}  # what was said to be written is there


def test_a_put_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, 1, 1, 2)
    with pytest.raises(TypeError):
        store.put(2, [(1, head(5)), (2, {"algorithm": {"head": object()}})])
    assert rows(store) == [(1, 1), (2, 1)]
    put(store, 2, 1)
    assert [number(s) for s in store.get([1, 2])] == [201, 102]


def test_half_precision_and_optimizer_states_survive(tmp_path: Path) -> None:
    store = opened(tmp_path)
    state = {"optimizer": {"0": {"w": {"step": torch.tensor(3.0), "exp_avg": torch.ones(2, dtype=torch.bfloat16)}}}}
    store.put(1, [(1, state)])
    (back,) = store.get([1])
    assert back is not None
    back = back["optimizer"]["0"]["w"]
    assert back["step"].item() == 3 and back["exp_avg"].dtype == torch.bfloat16
