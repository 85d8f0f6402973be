"""The checkpoints of a run of parties: `state.pt` of the run, and a file a party, `party_guest.pt`.

A party's file is its state and nothing else: it could lie on the party's machine. No key is in it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from fedlit.checkpoint_folders import CheckpointFolders, read_values, save_values
from fedlit.digests import STATE
from fedlit.errors import InputError
from fedlit.run_folder import FORMAT
from fedlit.saved_values import check_saved
from fedlit.vertical.state import PartiesState

_KIND = "fedlit checkpoint of parties"
_PLAIN = ("round", "bytes", "seconds", "best", "stopping", "stopped")


class PartyCheckpoints:
    """
    Args:
        folder, files, interval, keep: see `CheckpointFolders`.
        parties: names of all.
        bits: plain values that a resumed run is compared by: the number of threads and digests of the data.
    """

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, str],
        interval: float,
        keep: int,
        parties: Sequence[str],
        bits: Mapping[str, Any],
    ):
        self.folders = CheckpointFolders(folder, files, interval, keep)
        self.parties, self.bits = tuple(parties), dict(bits)

    def save_if_due(self, state: PartiesState) -> None:
        """Save if the last checkpoint is at least `interval` old."""
        if self.folders.is_due:
            self.save(state)

    def save(self, state: PartiesState) -> None:
        """
        Raises:
            InputError: the state has a value that could not be read again.
        """

        def fill(draft: Path) -> None:
            contents = {"format": _KIND, "version": FORMAT, "torch": str(torch.__version__), "bits": self.bits}
            contents |= {name: getattr(state, name) for name in _PLAIN}
            check_saved(contents, "the state of the run")
            for name in self.parties:
                (draft / _file(name)).write_bytes(state.parties[name])
            save_values(contents, draft / STATE)

        self.folders.save(state.round, state.stopped, fill)

    def load(self) -> PartiesState | None:
        """The newest state that is intact; None if there is no checkpoint.

        Raises:
            InputError: there are checkpoints, but none is usable.
        """
        newest = self.folders.newest(self._read)
        if newest is None:
            return None
        self.folders.note_newest(newest[1].round, newest[1].stopped)
        return newest[1]

    def _read(self, path: Path) -> PartiesState:
        saved = read_values(path, _KIND)
        parties: dict[str, bytes] = {}
        for name in self.parties:
            try:
                parties[name] = (path / _file(name)).read_bytes()
                torch.load(io.BytesIO(parties[name]), weights_only=True)
            except FileNotFoundError:
                raise InputError(f"the checkpoint {path} lacks {_file(name)}") from None
            except Exception:
                raise InputError(f"{path / _file(name)} cannot be read as tensors and plain values") from None
        return PartiesState(parties=parties, **{name: saved[name] for name in _PLAIN})


def _file(party: str) -> str:
    return f"party_{party}.pt"
