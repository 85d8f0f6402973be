"""Save, find and load the state of a run. A kill at any moment costs only the rounds since the last checkpoint.

`checkpoints/round_0012/` contains `state.pt` (tensors and plain values, loaded with `weights_only=True`), the
configuration as plain files, and the SHA-256 of each file (`digests.py`). It is written under another name, flushed to
the disk and renamed. The store decides what it contains of the clients: their states, or the name of the file that has
them. `checkpoints/round_0000/` has the first weights; a run that has saved no later round begins again from its seed.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlit.atomic_files import replacing_folder
from fedlit.digests import STATE, check_digests, write_digests
from fedlit.errors import InputError
from fedlit.model_vectors import Model
from fedlit.run_folder import FIRST, FORMAT, checkpoint_folders
from fedlit.state import FederationState
from fedlit.stores import MemoryStore, Store

log = logging.getLogger(__name__)
_KIND = "fedlit checkpoint"


class Checkpoints:
    """The checkpoints of a run folder.

    Args:
        folder: the run folder.
        files: name -> text, written beside every state (the configuration).
        interval: least time between two checkpoints, seconds.
        keep: number of newest checkpoints that are kept.
        bits: plain values that the last bits of a result depend on: the number of threads and the fingerprint of the
            data, of which a resumed run has the same, and the type of the device, which may change with a warning.
    """

    def __init__(self, folder: Path, files: Mapping[str, str], interval: float, keep: int, bits: Mapping[str, Any]):
        self.folder, self.files, self.interval, self.keep = folder / "checkpoints", files, interval, keep
        self.bits = dict(bits)
        self._saved_at = time.monotonic()
        self._newest: tuple[int, str | None] | None = None  # of the newest that is intact: round, why it was the last

    def save_if_due(self, state: FederationState) -> None:
        """Save if the last checkpoint is at least `interval` old."""
        if time.monotonic() - self._saved_at >= self.interval:
            self.save(state)

    def save_first(self, state: FederationState, module: Mapping[str, Tensor] | None = None) -> None:
        """Write the state before round 1, which is never removed.

        Args:
            module: tensors of the caller's module, which is not saved itself (see `fedlit.first_tensors`).
        """
        contents = self._contents(state, state.clients.save())
        self._write(self.folder / FIRST, contents | ({} if module is None else {"module": _plain(dict(module))}))
        self._newest = 0, None

    def save(self, state: FederationState) -> None:
        """Write the state, then remove all but the newest `keep` checkpoints, and the first one."""
        final = self.folder / f"round_{state.round:04d}"
        if (state.round, state.stopped) != self._newest:  # a checkpoint that was skipped as damaged is written again
            self._write(final, self._contents(state, state.clients.save()))
        self._saved_at, self._newest = time.monotonic(), (state.round, state.stopped)
        checkpoints = checkpoint_folders(self.folder)
        kept = [number for number, _ in checkpoints if number <= state.round][: self.keep]
        for number, path in checkpoints:
            if number not in kept:  # too old, or of a later round and damaged
                shutil.rmtree(path, ignore_errors=True)
        if kept:
            state.clients.keep(kept[-1], state.round)

    def save_best(self, state: FederationState) -> None:
        """Write the server's state of the best round by validation to `checkpoints/best/`."""
        contents = self._contents(state, {}) | {"only": "the server's state: it cannot be resumed"}
        self._write(self.folder / "best", contents)

    def has(self, file: Any) -> bool:
        """Whether a file lies among the checkpoints."""
        return isinstance(file, Path) and file.is_relative_to(self.folder)

    def _write(self, folder: Path, contents: dict[str, Any]) -> None:
        with replacing_folder(folder) as draft:
            _save(contents, draft / STATE)
            for name, text in self.files.items():
                (draft / name).write_text(text, encoding="utf-8")
            write_digests(draft)

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
            "lost": state.lost,
            "seconds": state.seconds,
            "sampler": _plain(state.sampler),
            "messages": _plain(state.messages),
            "stopping": state.stopping,
            "stopped": state.stopped,
        }

    def load(self, store: Store, device: torch.device | str = "cpu") -> FederationState | None:
        """The newest state that is intact; None if there is no checkpoint.

        Args:
            store: gets the clients' states as they were after that round.
            device: of the run, and of the tensors. Numbers that a run on another device kept on the CPU, such as an
                optimiser's step count, stay there.

        Raises:
            InputError: there are checkpoints, but none is usable.
        """
        problems: list[str] = []
        for _, path in checkpoint_folders(self.folder):
            try:
                saved, numbers_stay = _read(path, device)
            except InputError as error:
                problems.append(str(error))
                continue
            for problem in problems:
                log.warning("%s; %s is used instead", problem, path.name)
            self._warn_of_another_device(path, saved)
            store.load(saved["round"], _models(saved["clients"], device, numbers_stay))
            self._newest = saved["round"], saved.get("stopped")
            return _state(saved, store, device, numbers_stay)
        if problems:
            raise InputError(
                f"none of the checkpoints in {self.folder} can be used ({problems[0]}); start again in another folder."
            )
        store.load(0, {})
        return None

    def read(self, name: str, store: Store, device: torch.device | str = "cpu") -> FederationState:
        """The state of one checkpoint, such as `round_0012` or `best`, to look at: the store drops nothing.

        Raises:
            InputError: it cannot be used.
        """
        saved, numbers_stay = _read(self.folder / name, device)
        if "only" in saved:
            store = MemoryStore()  # clients that keep nothing
        store.view(saved["round"], _models(saved["clients"], device, numbers_stay))
        return _state(saved, store, device, numbers_stay)

    def _warn_of_another_device(self, path: Path, saved: dict[str, Any]) -> None:
        before, now = saved["bits"].get("device"), self.bits.get("device")
        if before and now and before != now:
            log.warning(
                "%s was saved on device %s and the run goes on on %s: they round differently, so the last digits are "
                "not those of a run on one device",
                path.name,
                before,
                now,
            )


def saved_bits(folder: Path) -> dict[str, Any]:
    """The plain values that the last bits of a saved run depend on; empty if no checkpoint is usable.

    All checkpoints of a run have the same settings, so `load` may choose another one.
    """
    for _, path in checkpoint_folders(folder / "checkpoints"):
        facts = facts_of(path)
        if "bits" in facts:
            return dict(facts["bits"])
    return {}


def facts_of(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint holds, its tensors mapped rather than read; empty if it is damaged, which `load` reports."""
    mapped = os.fsencode(checkpoint).isascii()  # torch maps no other file under each locale
    try:
        saved = torch.load(checkpoint / STATE, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception:
        return {}
    return saved if isinstance(saved, dict) else {}


def first_module(folder: Path) -> dict[str, Tensor]:
    """The tensors that `save_first` was given; empty if it was given none.

    Args:
        folder: the run folder.

    Raises:
        InputError: the checkpoint of the first weights is missing or damaged.
    """
    path = folder / "checkpoints" / FIRST
    if not path.is_dir():
        raise InputError(f"{path} is missing")
    return dict(_read(path, "cpu")[0].get("module", {}))


def _save(contents: Any, file: Path) -> None:
    """torch.save, with the OSError of a disk that is full: torch raises a RuntimeError in its place."""
    try:
        with file.open("wb") as opened:
            torch.save(contents, opened)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def _read(path: Path, device: torch.device | str) -> tuple[dict[str, Any], bool]:
    """A checkpoint, and whether its numbers without dimensions stay on the CPU: it is of a run on another device."""
    devices: set[str] = set()

    def place(storage: Any, saved_on: str) -> Any:
        devices.add(saved_on)
        return storage if saved_on == "cpu" else storage.to(device=torch.device(device))

    check_digests(path)
    try:
        saved = torch.load(path / STATE, map_location=place, weights_only=True)
    except Exception:
        raise InputError(f"{path / STATE} cannot be read as tensors and plain values") from None
    if not isinstance(saved, dict) or saved.get("format") != _KIND:
        raise InputError(f"{path} is no checkpoint of fedlit")
    if saved.get("version") != FORMAT:
        raise InputError(f"{path} has format {saved.get('version')}, and this fedlit reads format {FORMAT}")
    return saved, devices != {"cpu"}


def _state(saved: dict[str, Any], store: Store, device: torch.device | str, numbers_stay: bool) -> FederationState:
    return FederationState(
        saved["round"],
        _models(saved["server"], device, numbers_stay),
        store,
        saved["counters"],
        saved["best"],
        saved["lost"],
        saved["seconds"],
        _models(saved.get("sampler", {}), "cpu", numbers_stay=True),
        _models(saved["messages"], device, numbers_stay),
        saved.get("stopping", {}),
        saved.get("stopped"),
    )


def as_resumed(value: Any, device: torch.device | str = "cpu") -> Any:
    """A part of a state as a resumed run would read it.

    Raises:
        Exception: torch cannot save it, or not load it as tensors and plain values.
    """
    file = io.BytesIO()
    torch.save(_plain(value), file)
    file.seek(0)
    return _models(torch.load(file, weights_only=True), device, numbers_stay=True)


def _plain(value: Any) -> Any:
    """Models as dicts, and tensors copied out of larger storages, which torch.save would write in full."""
    if isinstance(value, Model):
        return {"__model__": [value.weights.clone(), value.statistics.clone()]}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return value.clone() if torch.is_tensor(value) else value


def _models(value: Any, device: torch.device | str, numbers_stay: bool) -> Any:
    """The reverse of `_plain`; all tensors on the device, but numbers without dimensions where they stay."""
    if isinstance(value, dict):
        if "__model__" in value:
            return Model(*(t.to(device) for t in value["__model__"]))
        return {k: _models(v, device, numbers_stay) for k, v in value.items()}
    return value.to(device) if torch.is_tensor(value) and (value.dim() or not numbers_stay) else value
