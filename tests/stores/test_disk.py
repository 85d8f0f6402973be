"""store=disk: rows, checkpoints and kills."""

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
from tests.slow import some_slow
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


def test_a_client_has_one_row_between_checkpoints(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for round in (1, 2, 3):
        put(store, round, 1, round + 10)
    assert rows(store) == [(1, 3), (11, 1), (12, 2), (13, 3)]


def test_keep_deletes_rows_that_no_checkpoint_needs(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, 1, 1, 2)
    put(store, 2, 1)
    store.keep(2, 2)
    put(store, 3, 1, 3)
    put(store, 4, 1)
    assert rows(store) == [(1, 2), (1, 4), (2, 1), (3, 3)]  # client 1: the row of the checkpoint and the newest
    store.keep(2, 4)
    put(store, 5, 1)
    assert rows(store) == [(1, 2), (1, 4), (1, 5), (2, 1), (3, 3)]
    store.keep(4, 5)  # the checkpoint of round 2 was deleted
    assert rows(store) == [(1, 4), (1, 5), (2, 1), (3, 3)]
    store.keep(5, 5)
    assert rows(store) == [(1, 5), (2, 1), (3, 3)]


def test_load_drops_rows_after_the_checkpoint(tmp_path: Path) -> None:
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


def test_a_new_run_has_no_states(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, 1, 1)
    store.close()
    assert rows(opened(tmp_path)) == []


def test_missing_states_and_those_of_another_run_are_refused(tmp_path: Path) -> None:
    first, other = opened(tmp_path / "first"), opened(tmp_path / "other")
    saved = first.save()
    assert saved != other.save()
    first.close()
    other.close()
    with pytest.raises(
        InputError, match=r"other.clients.sqlite holds the clients' states of another run; restore .*\."
    ):
        opened(tmp_path / "other", 0, saved)
    with pytest.raises(InputError, match=r"third.clients.sqlite with the clients' states is missing; restore .*"):
        opened(tmp_path / "third", 0, saved)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("not a database, but as long as one " * 100)
    with pytest.raises(InputError, match=r"clients.sqlite cannot be used \(file is not a database\); restore .*\."):
        opened(tmp_path)


def test_the_cost_of_a_checkpoint_does_not_grow_with_the_clients(tmp_path: Path) -> None:
    """Counted in instructions of SQLite's virtual machine, which do not depend on the clock."""

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


@pytest.mark.parametrize("at", some_slow([1, 2, 5, 9], [2, 9]))
def test_a_kill_leaves_all_of_a_round_or_nothing(tmp_path: Path, at: int) -> None:
    """With four megabytes a round, the kill nearly always falls into a transaction."""
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
    last_printed = max([at, *map(int, printed.split())])

    with sqlite3.connect(tmp_path / NAME) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        (saved,) = file.execute("SELECT id FROM run").fetchone()
    file.close()
    store = opened(tmp_path, 1_000_000, {"id": saved})
    states = dict(store.items())
    values = {s["algorithm"]["head"].unique().item() for s in states.values()}
    assert len(states) == 200 and len(values) == 1
    assert values <= {float(last_printed), last_printed + 1.0}  # a printed round is not lost


def test_a_failed_put_writes_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, 1, 1, 2)
    with pytest.raises(TypeError):
        store.put(2, [(1, head(5)), (2, {"algorithm": {"head": object()}})])
    assert rows(store) == [(1, 1), (2, 1)]
    put(store, 2, 1)
    assert [number(s) for s in store.get([1, 2])] == [201, 102]


def test_half_precision_and_optimizer_states_are_restored(tmp_path: Path) -> None:
    store = opened(tmp_path)
    state = {"optimizer": {"0": {"w": {"step": torch.tensor(3.0), "exp_avg": torch.ones(2, dtype=torch.bfloat16)}}}}
    store.put(1, [(1, state)])
    (restored,) = store.get([1])
    assert restored is not None
    parameter = restored["optimizer"]["0"]["w"]
    assert parameter["step"].item() == 3 and parameter["exp_avg"].dtype == torch.bfloat16
