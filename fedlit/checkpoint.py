"""Save, find and load the state of a run: a kill at any moment costs the rounds since the last checkpoint, no more.

`checkpoints/round_0012/` holds `state.pt` (tensors and plain values, loaded with `weights_only=True`), its SHA-256, and
the configuration as plain files. It is written under another name, flushed to the disk and renamed. What it holds of
the clients is for the store to say: all of their states, or where they lie.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fedlit.errors import InputError
from fedlit.model_vectors import Model
from fedlit.run_folder import FORMAT, checkpoint_folders
from fedlit.state import FederationState
from fedlit.stores import Store

log = logging.getLogger(__name__)
_KIND = "fedlit checkpoint"


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
            _write(final, self._contents(state, state.clients.save()), self.files)
        self._saved_at, self._newest = time.monotonic(), state.round
        found = checkpoint_folders(self.folder)
        kept = [number for number, _ in found if number <= state.round][: self.keep]
        for number, path in found:
            if number not in kept:  # too old, or damaged: else this run would have gone on from there
                shutil.rmtree(path, ignore_errors=True)
        state.clients.keep(kept[-1], state.round)

    def save_best(self, state: FederationState) -> None:
        """The server's part alone of the best round by validation, in `checkpoints/best/`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        contents = self._contents(state, {}) | {"only": "the server's state: it cannot be resumed"}
        _write(self.folder / "best", contents, self.files)

    def _contents(self, state: FederationState, clients: dict[Any, Any]) -> dict[str, Any]:
        return {
            "format": _KIND,
            "version": FORMAT,
            "torch": str(torch.__version__),
            "bits": self.bits,
            "round": state.round,
            "server": _plain(state.server),
            "clients": _plain(clients),
            "counters": state.counters,
            "best": state.best,
            "failed": state.failed,
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
        for _, path in checkpoint_folders(self.folder):
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
                saved["failed"],
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
    for _, path in checkpoint_folders(folder / "checkpoints"):
        try:
            saved = torch.load(path / "state.pt", map_location="cpu", weights_only=True, mmap=True)
        except Exception:  # not whole: `load` says so
            continue
        if isinstance(saved, dict) and "bits" in saved:
            return dict(saved["bits"])
    return {}


def _write(final: Path, contents: dict[str, Any], files: Mapping[str, str]) -> None:
    temporary = final.with_name(f".writing_{final.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    torch.save(contents, temporary / "state.pt")
    digest = hashlib.sha256((temporary / "state.pt").read_bytes()).hexdigest()
    (temporary / "state.sha256").write_text(digest)
    for name, text in files.items():
        (temporary / name).write_text(text, encoding="utf-8")
    for path in [*temporary.iterdir(), temporary]:
        _flush(path)
    replaced = final.with_name(f".replaced_{final.name}")  # the old one goes when the new one is in its place
    shutil.rmtree(replaced, ignore_errors=True)
    if final.exists():
        os.replace(final, replaced)
    os.replace(temporary, final)
    _flush(final.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
    if not isinstance(saved, dict) or saved.get("format") != _KIND:
        raise InputError(f"{path} is no checkpoint of fedlit")
    if saved.get("version") != FORMAT:
        raise InputError(f"{path} has format {saved.get('version')}, and this fedlit reads format {FORMAT}")
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
