"""The words of a command about a run: its folder, the keys of the command, and overrides of the run's configuration."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedlit.errors import InputError
from fedlit.saved_run import SavedRun
from fedlit.settings import command_line
from fedlit.settings.command_line import CommandLine
from fedlit.settings.overrides import key_of, parse
from fedlit.settings.protocols import is_vertical


@dataclass(frozen=True)
class Words:
    """
    Attributes:
        saved: the run.
        values: of the command's own keys, as Hydra reads them.
        overrides: the other words, for the configuration of the run.
        line: the command line, for its flags.
    """

    saved: SavedRun
    values: dict[str, Any]
    overrides: list[str]
    line: CommandLine


def read(words: Sequence[str], command: str, keys: Sequence[str], may_change: Sequence[str]) -> Words:
    """
    Args:
        command: such as "fedlit.evaluate".
        keys: the command's own.
        may_change: parts of the run's configuration that overrides may change.

    Raises:
        InputError: no folder or several, a folder that is no run, or a word that is neither.
    """
    line = command_line.read(words)
    if line.multirun or not line.runs or not line.checks_overrides:
        raise InputError(f"{' '.join(line.flags)}: {command} reads one run; leave this flag out.")
    positional = list(line.overrides)
    folders = [word for word in positional if _is_folder(word)]
    if len(folders) != 1:
        problem = "no folder is given" if not folders else f"{' and '.join(folders)} are several folders"
        raise InputError(f"{problem}; write python -m {command} <run folder>.")
    values: dict[str, Any] = {}
    overrides = []
    for override in parse([word for word in positional if word not in folders]):
        key, text = key_of(override), override.input_line or ""
        if key in keys:
            if override.is_sweep_override() or override.is_delete():
                raise InputError(f"{text}: one value is read; write {key}=<value>.")
            values[key] = override.value()
        elif any(f"{key}.".startswith(f"{part}.") for part in may_change) or override.is_hydra_override():
            overrides.append(text)
        else:
            near = difflib.get_close_matches(key, [*keys, *may_change], 1)
            listed = ", ".join((*keys, *may_change))
            advice = f"did you mean {near[0]}?" if near else f"it reads {listed}."
            raise InputError(f"{text}: {command} does not read {key}; {advice}")
    saved = SavedRun(folders[0])
    refuse_parties(saved)
    return Words(saved, values, overrides, line)


def refuse_parties(saved: SavedRun) -> None:
    """
    Raises:
        InputError: the run is of parties with columns, which has no LightningModule and no clients.
    """
    if is_vertical(saved.config):
        raise InputError(
            f"{saved.folder}: its parties hold columns of the same people, so that there is no LightningModule of it; "
            f"its measures are in {saved.folder / 'metrics.jsonl'} and {saved.folder / 'summary.json'}."
        )


def client_of(value: Any) -> int:
    """The client that `personal=<client>` names.

    Raises:
        InputError: this is no number of a client.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InputError(f"personal={value}: this is no client; write the number of one, such as personal=0.")
    return value


def file_of(value: Any, suffixes: Sequence[str]) -> Path:
    """The path that `out=<file>` names.

    Raises:
        InputError: it has another suffix.
    """
    path = Path(str(value)).expanduser()
    if path.suffix not in suffixes:
        raise InputError(f"out={value}: this is no {' or '.join(suffixes)} file; write out=<name>{suffixes[0]}.")
    return path


def folder_of(value: Any, suffixes: Collection[str]) -> Path:
    """The path that `out=<folder>` names.

    Raises:
        InputError: it is empty, a file, or has the suffix of a file.
    """
    path = Path(str(value)).expanduser()
    if not str(value).strip() or path.is_file() or path.suffix in suffixes:
        raise InputError(f"out={value}: this is no folder; write out=<folder>, in which the files get their names.")
    return path


def _is_folder(word: str) -> bool:
    return "=" not in word or Path(word).expanduser().is_dir()
