"""A file that cannot be written ends the run in one sentence with what is saved, exit code 74, and nothing is torn."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from fedlit import atomic_files
from fedlit.errors import NotWritten
from fedlit.stores import DiskStore
from fedlit.tracking.event_file import EventFile
from tests.small_runs import command, rows

CODES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
WORDS = ("clients=3", "rounds=4", "threads=1", "device=cpu", "progress=none", "logger=none", "checkpoint.every=0")


class Full:
    """`open` of a module on a disk that takes `size` more bytes of a file, then raises an error."""

    def __init__(self, name: str, size: int, code: int):
        self.name, self.size, self.code = name, size, code

    def __call__(self, path: Any, *arguments: Any, **options: Any) -> Any:
        file = open(path, *arguments, **options)  # noqa: SIM115
        if self.name not in Path(path).name:
            return file
        full = self

        class Limited(io.FileIO):
            def write(self, content: Any) -> int:
                part = bytes(content)[: full.size]
                full.size -= len(part)
                if not part:
                    raise OSError(full.code, os.strerror(full.code), str(path))
                return super().write(part)

        file.close()
        return Limited(path, "a")


@pytest.mark.parametrize("code", CODES)
def test_what_is_appended_to_a_full_disk_is_taken_back(tmp_path: Path, monkeypatch: Any, code: int) -> None:
    path = tmp_path / "lines"
    atomic_files.append(path, b"first\n")
    monkeypatch.setattr(atomic_files, "open", Full("lines", 3, code), raising=False)
    with pytest.raises(NotWritten, match=f"lines cannot be written .{os.strerror(code)}"):
        atomic_files.append(path, b"second\n")
    assert path.read_bytes() == b"first\n"


@pytest.mark.parametrize("code", CODES)
def test_a_draft_that_fails_is_removed_and_the_old_content_stays(tmp_path: Path, code: int) -> None:
    for replacing in (atomic_files.replacing, atomic_files.replacing_folder):
        with pytest.raises(NotWritten), replacing(tmp_path / "kept"):
            raise OSError(code, os.strerror(code))
    assert list(tmp_path.iterdir()) == []


def test_events_are_written_as_a_whole(tmp_path: Path, monkeypatch: Any) -> None:
    from tensorboard.compat.proto.event_pb2 import Event

    file = EventFile(str(tmp_path))
    [path] = tmp_path.iterdir()
    size = path.stat().st_size
    file.add_event(Event(step=1))
    monkeypatch.setattr(atomic_files, "open", Full("events", 3, errno.ENOSPC), raising=False)
    with pytest.raises(NotWritten):
        file.flush()
    file.close()
    assert path.stat().st_size == size


def test_a_round_of_client_states_that_finds_no_room_is_not_half_written(tmp_path: Path) -> None:
    store = DiskStore()
    store.open(tmp_path, torch.device("cpu"))
    store.load(0, {})
    store.put(1, [(0, {"algorithm": {"x": torch.ones(3)}})])
    pages = store._open().execute("PRAGMA page_count").fetchone()[0]
    store._open().execute(f"PRAGMA max_page_count = {pages + 1}")
    big = {"algorithm": {"x": torch.zeros(100_000)}}
    with pytest.raises(NotWritten, match="disk is full"):
        store.put(2, [(client, big) for client in range(5)])
    assert [client for client, _ in store.items()] == [0]
    store.close()


@pytest.mark.parametrize("name", ["metrics.jsonl", pytest.param("clients.jsonl", marks=pytest.mark.slow)])
def test_a_run_says_what_is_saved_and_goes_on_later(in_folder: Path, capsys: Any, monkeypatch: Any, name: str) -> None:
    size = 10**6

    def limited(path: Any, *arguments: Any, **options: Any) -> Any:
        lines = Path(path).read_bytes().count(b'"round": 2') if Path(path).exists() else 0
        return Full(name, 5 if lines else size, errno.ENOSPC)(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(atomic_files, "open", limited, raising=False)
        assert command(*WORDS, "hydra.run.dir=run", "evaluation.each_epoch=true") == 74
    errors = capsys.readouterr().err
    assert "No space left on device" in errors and "Traceback" not in errors
    assert "rounds up to 2 are saved; make room and go on with: python -m fedlit.run resume=run" in errors
    assert command("resume=run") == 0
    assert [row["round"] for row in rows(Path("run"))] == [1, 2, 3, 4]


def test_a_checkpoint_that_finds_no_room_leaves_those_before(in_folder: Path, capsys: Any, monkeypatch: Any) -> None:
    save = torch.save

    def limited(contents: Any, file: Any, *arguments: Any) -> None:
        if isinstance(contents, dict) and contents.get("round") == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(contents, file, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", limited)
        assert command(*WORDS, "hydra.run.dir=run") == 74
    assert "round_0003 cannot be written (No space left on device); rounds up to 2 are saved" in capsys.readouterr().err
    assert sorted(path.name for path in Path("run/checkpoints").glob("*round*")) == [
        "round_0000",
        "round_0001",
        "round_0002",
    ]
