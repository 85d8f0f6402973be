"""store=disk: client states in an SQLite file, a row a client and round, so that a checkpoint costs what cohorts cost.

The newest row of a client is its state. The older ones are there for checkpoints: a run that was killed goes on from a
round before the last, so the rows past that round are dropped and each client is again as it was. Of each client there
is at most one row after the newest checkpoint, and one for each checkpoint that is kept.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from fedlit.errors import InputError
from fedlit.stores.base import State, Store
from fedlit.stores.state_bytes import from_bytes, to_bytes

NAME = "clients.sqlite"
_AT_ONCE = 500  # clients asked for in one query; SQLite takes 999 values, newer ones more

# In the log mode (WAL) a transaction is appended to a log beside the file, so a kill leaves it whole or not there.
# `synchronous=NORMAL` does not flush each transaction to the disk. A killed process loses nothing by that, for the
# system has what was written. A power cut may take the newest rounds, never half of one; those before a checkpoint were
# flushed by `save` before it was written, and those past it are dropped in any case.
# The run holds its folder alone: with `locking_mode=EXCLUSIVE` the log needs no shared memory, which file systems of
# clusters lack. Deleted rows are not written over with zeros, as some builds of SQLite would.
_SETTINGS = """
PRAGMA page_size = 8192;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA secure_delete = OFF;
"""
_TABLES = """
CREATE TABLE IF NOT EXISTS states (
    client INTEGER NOT NULL, round INTEGER NOT NULL, state BLOB NOT NULL, PRIMARY KEY (client, round)
);
CREATE INDEX IF NOT EXISTS by_round ON states (round, client);
CREATE TABLE IF NOT EXISTS run (id TEXT NOT NULL);
"""
_SUPERSEDED = """
DELETE FROM states WHERE rowid IN (
    SELECT old.rowid FROM states AS new JOIN states AS old ON old.client = new.client AND old.round < new.round
    WHERE new.round > ? AND new.round <= ?
)
"""


class DiskStore(Store):
    """One file for a run, `checkpoints/clients.sqlite`; the checkpoints beside it say only that they belong to it."""

    def open(self, folder: Path, device: torch.device) -> None:
        self.path, self.device = folder / NAME, device
        self._file: sqlite3.Connection | None = None
        self._newest = 0  # round of the newest checkpoint: later rows of a client may be written over
        self._swept = 0  # round up to which only the newest row of each client is left

    def load(self, round: int, saved: dict[Any, Any]) -> None:
        if saved and not self.path.exists():
            raise InputError(f"{self.path} is not there, and with it the clients' states; put it back, or start anew.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(self.path, isolation_level=None)  # transactions are begun in words
        try:
            self._file.executescript(_SETTINGS + _TABLES)
        except sqlite3.DatabaseError as error:  # damaged, no such file at all, or open in another program
            raise InputError(f"{self.path} cannot be used ({error}); put the run's own there, and close it.") from None
        if saved and self._id() != saved["id"]:
            raise InputError(f"{self.path} holds the clients' states of another run; put this run's own there.")
        with self._transaction() as do:
            do.execute("DELETE FROM states WHERE round > ?", (round,))
            if not saved:
                do.execute("DELETE FROM run")
                do.execute("INSERT INTO run VALUES (?)", (secrets.token_hex(8),))
        self._newest = round

    def get(self, clients: Sequence[int]) -> list[State | None]:
        found: dict[int, State] = {}
        for i in range(0, len(clients), _AT_ONCE):
            some = list(clients[i : i + _AT_ONCE])
            marks = ",".join("?" * len(some))
            # beside MAX(round), SQLite gives the other columns of the row that has it
            query = f"SELECT client, MAX(round), state FROM states WHERE client IN ({marks}) GROUP BY client"
            for client, _, state in self._open().execute(query, some):
                found[client] = from_bytes(state, self.device)
        return [found.get(client) for client in clients]

    def put(self, round: int, states: Sequence[tuple[int, State]]) -> None:
        held = sorted((client, state) for client, state in states if any(state.values()))
        if not held:
            return
        with self._transaction() as do:  # one a round: all clients of it, or none
            do.executemany("DELETE FROM states WHERE client = ? AND round > ?", ((c, self._newest) for c, _ in held))
            do.executemany("INSERT INTO states VALUES (?, ?, ?)", ((c, round, to_bytes(s)) for c, s in held))

    def save(self) -> dict[str, str]:
        self._open().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # flushes the log, then the file
        return {"file": NAME, "id": self._id()}

    def keep(self, oldest: int, newest: int) -> None:
        """Costs what was put since the last call, not what there is."""
        with self._transaction() as do:
            do.execute(_SUPERSEDED, (self._swept, oldest))
        self._swept, self._newest = oldest, newest

    def items(self) -> Iterator[tuple[int, State]]:
        query = "SELECT client, MAX(round), state FROM states GROUP BY client ORDER BY client"
        return ((client, from_bytes(state, self.device)) for client, _, state in self._open().execute(query))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> sqlite3.Connection:
        assert self._file is not None, "load() comes first"
        return self._file

    def _id(self) -> str:
        row = self._open().execute("SELECT id FROM run").fetchone()
        return str(row[0]) if row else ""

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        with closing(self._open().cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
            except BaseException:
                if self._open().in_transaction:  # a full disk has ended it already
                    cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")
