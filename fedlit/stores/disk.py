"""store=disk: client states in an SQLite file, one row for each client and round; a checkpoint writes only new rows.

A client's state is its newest row. Older rows serve checkpoints: a killed run resumes from an earlier round, and the
rows after that round are dropped. A client has at most one row after the newest checkpoint, and one row for each
checkpoint that is kept.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import torch

from fedlit.atomic_files import writing
from fedlit.client import ClientState
from fedlit.errors import InputError, NotWritten
from fedlit.stores.base import Store, is_empty
from fedlit.stores.state_bytes import from_bytes, to_bytes

NAME = "clients.sqlite"
_LAST = 2**62  # a round after all others
_QUERY_SIZE = 500  # clients in one query; SQLite accepts at least 999 values

# With write-ahead logging (WAL), a transaction is appended to a log, so that a kill leaves all of it or nothing.
# `synchronous=NORMAL` does not flush each transaction to the disk. A killed process loses nothing, because the system
# has the written data. A power cut may lose the newest rounds, but never half of one. Rounds before a checkpoint were
# flushed by `save`; rounds after it are dropped on resume.
# `locking_mode=EXCLUSIVE` needs no shared memory, which cluster file systems lack; no other process opens the file.
# `secure_delete=OFF` saves overwriting deleted rows with zeros, the default of some builds.
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
_OF_THE_DISK = ("disk is full", "disk I/O error", "readonly database", "unable to open")  # in SQLite's messages
_SUPERSEDED = """
DELETE FROM states WHERE rowid IN (
    SELECT old.rowid FROM states AS new JOIN states AS old ON old.client = new.client AND old.round < new.round
    WHERE new.round > ? AND new.round <= ?
)
"""


class DiskStore(Store):
    """One file for a run, `checkpoints/clients.sqlite`; checkpoints hold only its identifier."""

    def open(self, folder: Path, device: torch.device) -> None:
        self.path, self.device = folder / NAME, device
        self._file: sqlite3.Connection | None = None
        self._newest = 0  # round of the newest checkpoint; later rows of a client may be replaced
        self._swept = 0  # up to this round, only the newest row of each client is left
        self._seen = _LAST  # later rows are not read

    def load(self, round_number: int, saved: dict[Any, Any]) -> None:
        self._connect(saved)
        with self._transaction() as cursor:
            cursor.execute("DELETE FROM states WHERE round > ?", (round_number,))
            if not saved:
                cursor.execute("DELETE FROM run")
                cursor.execute("INSERT INTO run VALUES (?)", (secrets.token_hex(8),))
        self._newest = round_number

    def view(self, round_number: int, saved: dict[Any, Any]) -> None:
        self._connect(saved)
        self._seen = round_number

    def _connect(self, saved: dict[Any, Any]) -> None:
        if saved and not self.path.exists():
            raise InputError(f"{self.path} with the clients' states is missing; restore it, or start a new run.")
        try:
            with self._writing():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = sqlite3.connect(self.path, isolation_level=None)  # autocommit: BEGIN is explicit
                self._file.executescript(_SETTINGS + _TABLES)
        except sqlite3.DatabaseError as error:  # damaged, no database, or open in another program
            raise InputError(
                f"{self.path} cannot be used ({error}); restore the file of this run, and close programs that use it."
            ) from None
        if saved and self._id() != saved["id"]:
            raise InputError(f"{self.path} holds the clients' states of another run; restore the file of this run.")

    def get(self, clients: Sequence[int]) -> list[ClientState | None]:
        states: dict[int, ClientState] = {}
        for i in range(0, len(clients), _QUERY_SIZE):
            chunk = list(clients[i : i + _QUERY_SIZE])
            marks = ",".join("?" * len(chunk))
            # With MAX(round), SQLite returns the other columns of the row that has the maximum.
            query = (
                f"SELECT client, MAX(round), state FROM states WHERE client IN ({marks}) AND round <= ? GROUP BY client"
            )
            for client, _, state in self._open().execute(query, [*chunk, self._seen]):
                states[client] = from_bytes(state, self.device)
        return [states.get(client) for client in clients]

    def put(self, round_number: int, states: Sequence[tuple[int, ClientState]]) -> None:
        kept = sorted((client, state) for client, state in states if not is_empty(state))
        if not kept:
            return
        with self._transaction() as cursor:  # one transaction for all clients of the round
            cursor.executemany(
                "DELETE FROM states WHERE client = ? AND round > ?", ((c, self._newest) for c, _ in kept)
            )
            rows = ((client, round_number, to_bytes(state, self.device)) for client, state in kept)
            cursor.executemany("INSERT INTO states VALUES (?, ?, ?)", rows)

    def save(self) -> dict[str, str]:
        with self._writing():
            self._open().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # flushes the log and the file
        return {"file": NAME, "id": self._id()}

    def keep(self, oldest: int, newest: int) -> None:
        """The cost is proportional to the rows since the last call."""
        with self._transaction() as cursor:
            cursor.execute(_SUPERSEDED, (self._swept, oldest))
        self._swept, self._newest = oldest, newest

    def items(self) -> Iterator[tuple[int, ClientState]]:
        query = "SELECT client, MAX(round), state FROM states WHERE round <= ? GROUP BY client ORDER BY client"
        rows = self._open().execute(query, (self._seen,))
        return ((client, from_bytes(state, self.device)) for client, _, state in rows)

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
        with self._writing(), closing(self._open().cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
            except BaseException:
                if self._open().in_transaction:  # a full disk has already ended it
                    cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """NotWritten where the disk is full, read-only or fails."""
        try:
            with writing(self.path):
                yield
        except sqlite3.OperationalError as error:
            if any(text in str(error) for text in _OF_THE_DISK):
                raise NotWritten(self.path, error) from error
            raise
