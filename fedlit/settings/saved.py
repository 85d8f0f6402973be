"""The configuration that a run was started with: two plain files, read without torch.

They lie beside every saved state, because a resumed run may change some of them. A run that was stopped before its
first checkpoint has only the files that Hydra wrote into `.hydra/` at its start: it begins again, in the same folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedlit.digests import DIGESTS, check_digests
from fedlit.errors import InputError
from fedlit.run_folder import (
    FORMAT,
    FORMAT_FILE,
    checkpoint_folders,
    format_of,
    holds_run,
    is_checkpoint_name,
    is_sweep,
)
from fedlit.settings.overrides import resume_override
from fedlit.working_folder import command_folder

CONFIG, OVERRIDES = "config.yaml", "overrides.yaml"


@dataclass(frozen=True)
class Saved:
    """The configuration (not resolved) that a run was started with, and the overrides it was composed of."""

    config: DictConfig
    overrides: list[str]
    has_state: bool  # False for a run that was stopped before its first checkpoint


def saved_files(config: DictConfig, overrides: Sequence[str]) -> dict[str, str]:
    """File name -> text, to be written into every checkpoint folder (`checkpoints/round_0012/`)."""
    return {
        CONFIG: OmegaConf.to_yaml(config),
        OVERRIDES: yaml.safe_dump(list(overrides)),
        FORMAT_FILE: f"{FORMAT}\n",
    }


def read_saved(folder: Path) -> Saved:
    """The configuration in the newest checkpoint of a run folder or, without a checkpoint, that of the run's start;
    InputError if there is neither."""
    if not folder.is_dir():
        kind = "this is a file" if folder.exists() else "there is no such folder"
        raise InputError(f"resume={folder}: {kind}; {_advice(folder)}.")
    checkpoints = [path for _, path in checkpoint_folders(folder / "checkpoints")]
    places = checkpoints if checkpoints or _had_saved(folder) else [folder / ".hydra"]
    written = max(format_of(path) for path in (folder, *places))  # 1 where the file is missing or damaged
    if any(path.exists() for path in places) and written != FORMAT:
        raise InputError(
            f"resume={folder}: this run folder has format {written}, and this fedlit reads format {FORMAT}; "
            "resume it with the version of fedlit that wrote it, or start the run again in a new folder."
        )
    for path in places:
        try:
            if (path / DIGESTS).exists():
                check_digests(path, (CONFIG, OVERRIDES, FORMAT_FILE))  # not the state, which takes long to read
            _check_end(path / CONFIG)
            config = OmegaConf.load(path / CONFIG)
            overrides = yaml.safe_load((path / OVERRIDES).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException):
            continue  # damaged: the checkpoint before it is used; `Checkpoints.load` names it
        if isinstance(config, DictConfig) and isinstance(overrides, list):
            return Saved(config, [str(override) for override in overrides], has_state=bool(checkpoints))
    raise InputError(f"resume={folder}: {_why_not(folder, bool(checkpoints))}")


def _check_end(file: Path) -> None:
    """ValueError if the last line of a file is cut off."""
    if not file.read_bytes().endswith(b"\n"):
        raise ValueError(file)


def rounds_done(folder: Path, above: int) -> int:
    """The round of the newest intact state above a round; `above` if there is none. Reads a state only in that case."""
    for number, path in checkpoint_folders(folder / "checkpoints"):
        if number > above and _is_intact(path):
            return number
    return above


def _is_intact(checkpoint: Path) -> bool:
    try:
        check_digests(checkpoint)
    except InputError:
        return False
    return True


def _had_saved(folder: Path) -> bool:
    """Whether a run has saved a state, even if it is gone: beginning again would overwrite the record of the run."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))  # written after the state
    except OSError:
        return False
    except ValueError:
        return True
    return not isinstance(summary, dict) or summary.get("rounds") != 0  # 0: a Stop before round 1


def saved_search_path(folder: Path) -> list[str]:
    """The user's folders of options (`--config-dir`, `hydra.searchpath`) that the run was started with."""
    sources = _recorded(folder, "hydra.runtime.config_sources") or []
    return [f"{source.schema}://{source.path}" for source in sources if "command-line" in source.provider]


def began_in(folder: Path, resumed: bool) -> Path:
    """The folder in which a run began, from which its relative paths are meant: the current one may be another, by
    `hydra.job.chdir=true` or in a resumed run. If it was moved, or there is no record of it, that of this command."""
    recorded = _recorded(folder, "hydra.runtime.cwd") if resumed else None
    return Path(recorded) if recorded is not None and Path(recorded).is_dir() else command_folder()


def _recorded(folder: Path, key: str) -> Any:
    """A value in Hydra's record of the run's start."""
    try:
        return OmegaConf.select(OmegaConf.load(folder / ".hydra" / "hydra.yaml"), key)
    except (OSError, yaml.YAMLError, OmegaConfBaseException):
        return None


def _why_not(folder: Path, has_checkpoints: bool) -> str:
    if folder.name in ("checkpoints", "best") or is_checkpoint_name(folder.name):
        return f"this is a folder of checkpoints; {_advice(folder)}."
    if has_checkpoints:
        return "none of its checkpoints can be read; start the run again in a new folder."
    if is_sweep(folder):
        return f"this is the folder of a sweep; {_advice(folder)}."
    if _had_saved(folder):
        return "this run has come to its end and its checkpoints are gone; start it again in a new folder."
    if holds_run(folder):
        return "this run was stopped before it had saved anything to go on from; start it again in a new folder."
    return f"this is no folder of a fedlit run; {_advice(folder)}."


def _advice(path: Path) -> str:
    """The run that was meant: the one in which a file or folder lies, or else the newest of those in a folder."""
    above = next((folder for folder in path.parents if _is_run(folder)), None)
    if above is not None:
        return f"give the folder of the run, {resume_override(above)}"
    if path.is_dir():
        inner = [folder for depth in ("*", "*/*") for folder in path.glob(depth) if _is_run(folder)]
        if inner:
            newest = max(inner, key=lambda folder: (folder.stat().st_mtime, folder.name))
            meant = newest.parent if newest.parent != path and is_sweep(newest.parent) else newest
            return f"give one of those in it, such as {resume_override(meant)}"
    return "give the folder of a run, outputs/<date>/<time>"


def _is_run(folder: Path) -> bool:
    """Whether a folder has what a run is resumed from."""
    has_record = (folder / FORMAT_FILE).exists() and (folder / ".hydra" / CONFIG).exists()
    return has_record or bool(checkpoint_folders(folder / "checkpoints"))
