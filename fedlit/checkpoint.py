"""Save, find and load the state of a run. A kill at any moment costs only the rounds since the last checkpoint.

`checkpoints/round_0012/` contains `state.pt` (tensors and plain values, loaded with `weights_only=True`), beside the
files of each checkpoint (`checkpoint_folders.py`). The store decides what it contains of the clients: their states, or
the name of the file that has them. `checkpoints/round_0000/` has the first weights; a run that has saved no later round
begins again from its seed.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedlit.checkpoint_folders import CheckpointFolders, read_values, save_values
from fedlit.digests import STATE
from fedlit.errors import InputError
from fedlit.model_vectors import Model
from fedlit.run_folder import FIRST, FORMAT, checkpoint_folders
from fedlit.saved_values import check_saved
from fedlit.state import FederationState
from fedlit.stores import MemoryStore, Store

log = logging.getLogger(__name__)
_KIND = "fedlit checkpoint"


class Checkpoints:
    """The checkpoints of a run folder.

    Args:
        folder, files, interval, keep: see `fedlit.checkpoint_folders.CheckpointFolders`.
        bits: plain values that the last bits of a result depend on: the number of threads and the fingerprint of the
            data, of which a resumed run has the same, and the type of the device, which may change with a warning.
    """

    def __init__(self, folder: Path, files: Mapping[str, str], interval: float, keep: int, bits: Mapping[str, Any]):
        self._folders = CheckpointFolders(folder, files, interval, keep)
        self.folder, self.bits = self._folders.folder, dict(bits)

    def save_if_due(self, state: FederationState) -> None:
        """Save if the last checkpoint is at least `interval` old."""
        if self._folders.is_due:
            self.save(state)

    def save_first(self, state: FederationState, module: Mapping[str, Tensor] | None = None) -> None:
        """Write the state before round 1, which is never removed.

        Args:
            module: tensors of the caller's module, which is not saved itself (see `fedlit.first_tensors`).
        """
        contents = self._contents(state, state.clients.save())
        self._write(self.folder / FIRST, contents | ({} if module is None else {"module": _plain(dict(module))}))
        self._folders.note_newest(0, None)

    def save(self, state: FederationState) -> None:
        """Write the state, then remove all but the newest `keep` checkpoints, and the first one.

        Raises:
            InputError: the state has a value that could not be read again.
        """

        def fill(draft: Path) -> None:
            save_values(self._contents(state, state.clients.save()), draft / STATE)

        kept = self._folders.save(state.round, state.stopped, fill)
        if kept:
            state.clients.keep(kept[-1], state.round)

    def save_best(self, state: FederationState) -> None:
        """Write the server's state of the best round by validation to `checkpoints/best/`."""
        contents = self._contents(state, {}) | {"only": "the server's state: it cannot be resumed"}
        self._write(self.folder / "best", contents)

    def has(self, file: Any) -> bool:
        """Whether a file lies among the checkpoints."""
        return self._folders.has(file)

    def _write(self, folder: Path, contents: dict[str, Any]) -> None:
        self._folders.write(folder.name, lambda draft: save_values(contents, draft / STATE))

    def _contents(self, state: FederationState, clients: dict[Any, Any]) -> dict[str, Any]:
        contents = {
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
        check_saved(contents, "the state of the run")
        return contents

    def load(self, store: Store, device: torch.device | str = "cpu") -> FederationState | None:
        """The newest state that is intact; None if there is no checkpoint.

        Args:
            store: gets the clients' states as they were after that round.
            device: of the run, and of the tensors. Numbers that a run on another device kept on the CPU, such as an
                optimiser's step count, stay there.

        Raises:
            InputError: there are checkpoints, but none is usable.
        """
        newest = self._folders.newest(lambda path: _read(path, device))
        if newest is None:
            store.load(0, {})
            return None
        path, (saved, numbers_stay) = newest
        self._warn_of_another_device(path, saved)
        store.load(saved["round"], _models(saved["clients"], device, numbers_stay))
        self._folders.note_newest(saved["round"], saved.get("stopped"))
        return _state(saved, store, device, numbers_stay)

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


def _read(path: Path, device: torch.device | str) -> tuple[dict[str, Any], bool]:
    """A checkpoint, and whether its numbers without dimensions stay on the CPU: it is of a run on another device."""
    devices: set[str] = set()

    def place(storage: Any, saved_on: str) -> Any:
        devices.add(saved_on)
        return storage if saved_on == "cpu" else storage.to(device=torch.device(device))

    saved = read_values(path, _KIND, place)
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
