"""Save, find and load the state of a run: a kill at any moment costs the rounds since the last checkpoint, no more.

`checkpoints/round_0012/` holds `state.pt` (tensors and plain values, loaded with `weights_only=True`), its SHA-256, and
the configuration as plain files. It is written under another name, flushed to the disk and renamed. What it holds of
the clients is for the store to say: all of their states, or where they lie.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fedlit.atomic_files import replacing_folder
from fedlit.errors import InputError
from fedlit.model_vectors import Model
from fedlit.state import FederationState
from fedlit.stores import Store

log = logging.getLogger(__name__)
_FORMAT, _VERSION = "fedlit checkpoint", 1
_ROUND = re.compile(r"round_(\d+)")


class Checkpoints:
    """The checkpoints of a run folder.

    Args:
        folder: the run folder.
        files: name -> text, written beside every state (the configuration).
        every: least time between two checkpoints, seconds.
        keep: how many of the newest stay.
        bits: what the last bits depend on (threads, chunk), which a resumed run takes over.
    """

    def __init__(self, folder: Path, files: Mapping[str, str], every: float, keep: int, bits: Mapping[str, Any]):
        self.folder, self.files, self.every, self.keep = folder / "checkpoints", files, every, keep
        self.bits = dict(bits)
        self._saved_at = time.monotonic()
        self._newest: int | None = None  # round of the newest checkpoint that is known to be whole

    def save_if_due(self, state: FederationState) -> None:
        if time.monotonic() - self._saved_at >= self.every:
            self.save(state)

    def save(self, state: FederationState) -> None:
        """Write the state; afterwards the newest `keep` are left."""
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"round_{state.round:04d}"
        if state.round != self._newest:  # one that was passed over as damaged is written again
            self._write(final, self._contents(state, state.clients.save()))
        self._saved_at, self._newest = time.monotonic(), state.round
        found = _rounds(self.folder)
        kept = [number for number, _ in found if number <= state.round][: self.keep]
        for number, path in found:
            if number not in kept:  # too old, or damaged: else this run would have gone on from there
                shutil.rmtree(path, ignore_errors=True)
        state.clients.keep(kept[-1], state.round)

    def save_best(self, state: FederationState) -> None:
        """The server's part alone of the best round by validation, in `checkpoints/best/`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        contents = self._contents(state, {}) | {"only": "the server's state: it cannot be resumed"}
        self._write(self.folder / "best", contents)

    def _write(self, folder: Path, contents: dict[str, Any]) -> None:
        with replacing_folder(folder) as draft:
            torch.save(contents, draft / "state.pt")
            digest = hashlib.sha256((draft / "state.pt").read_bytes()).hexdigest()
            (draft / "state.sha256").write_text(digest)
            for name, text in self.files.items():
                (draft / name).write_text(text, encoding="utf-8")

    def _contents(self, state: FederationState, clients: dict[Any, Any]) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "torch": str(torch.__version__),
            "bits": self.bits,
            "round": state.round,
            "server": _plain(state.server),
            "clients": _plain(clients),
            "counters": state.counters,
            "best": state.best,
            "lost": state.lost,
            "seconds": state.seconds,
        }

    def load(self, store: Store, device: torch.device | str = "cpu") -> FederationState | None:
        """The newest whole state, with the clients' in `store` as they were then; None where there is no checkpoint.

        Args:
            device: where models and the like go; single numbers, such as an optimiser's count, only where they were not
                on the CPU.

        Raises:
            InputError: there are checkpoints and none can be used.
        """
        problems: list[str] = []
        for _, path in _rounds(self.folder):
            try:
                saved = _read(path, device)
            except InputError as error:
                problems.append(str(error))
                continue
            for problem in problems:
                log.warning("%s; %s is used instead", problem, path.name)
            store.load(saved["round"], _models(saved["clients"], device))
            self._newest = saved["round"]
            return FederationState(
                saved["round"],
                _models(saved["server"], device),
                store,
                saved["counters"],
                saved["best"],
                saved["lost"],
                saved["seconds"],
            )
        if problems:
            raise InputError(
                f"none of the checkpoints in {self.folder} can be used ({problems[0]}); start anew in another folder."
            )
        store.load(0, {})
        return None


def saved_bits(folder: Path) -> dict[str, Any]:
    """What the last bits of a saved run depend on; empty where there is no checkpoint that can be used.

    The file is mapped and not read, for `load` reads the state, which may be large; every checkpoint of a run says the
    same here, so it does not matter which of them `load` takes.
    """
    for _, path in _rounds(folder / "checkpoints"):
        try:
            saved = torch.load(path / "state.pt", map_location="cpu", weights_only=True, mmap=True)
        except Exception:  # not whole: `load` says so
            continue
        if isinstance(saved, dict) and "bits" in saved:
            return dict(saved["bits"])
    return {}


def _rounds(folder: Path) -> list[tuple[int, Path]]:
    """Checkpoints, the newest first."""
    return sorted(((int(m[1]), p) for p in folder.glob("round_*") if (m := _ROUND.fullmatch(p.name))), reverse=True)


def _read(path: Path, device: torch.device | str) -> dict[str, Any]:
    def place(storage: Any, there: str) -> Any:
        return storage if there == "cpu" else storage.to(device=torch.device(device))

    try:
        digest = hashlib.sha256((path / "state.pt").read_bytes()).hexdigest()
        whole = (path / "state.sha256").read_text().strip() == digest
    except OSError as error:
        raise InputError(f"the checkpoint {path} lacks {Path(error.filename).name}") from None
    if not whole:
        raise InputError(f"the checkpoint {path} is cut off or was changed")
    try:
        saved = torch.load(path / "state.pt", map_location=place, weights_only=True)
    except Exception:
        raise InputError(f"{path / 'state.pt'} cannot be read as tensors and plain values") from None
    if not isinstance(saved, dict) or saved.get("format") != _FORMAT or saved.get("version") != _VERSION:
        raise InputError(f"{path} is no checkpoint of this version of fedlit")
    return saved


def _plain(value: Any) -> Any:
    """Models to dicts that say so, tensors cut loose from larger storage."""
    if isinstance(value, Model):
        return {"__model__": [value.weights.clone(), value.statistics.clone()]}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value.clone() if torch.is_tensor(value) else value


def _models(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, dict):
        if "__model__" in value:
            return Model(*(t.to(device) for t in value["__model__"]))
        return {k: _models(v, device) for k, v in value.items()}
    return value.to(device) if torch.is_tensor(value) and value.dim() else value
