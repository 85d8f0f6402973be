"""The configuration that a run was started with: two plain files, read without torch.

They lie beside every saved state, for a resumed run may change some of them. A run that was stopped before it saved one
is known by what Hydra wrote into `.hydra/` at its start: it begins again, in the same folder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedlit.errors import InputError
from fedlit.run_folder import holds_run

CONFIG, OVERRIDES = "config.yaml", "overrides.yaml"
_ROUND = re.compile(r"round_(\d+)")


@dataclass(frozen=True)
class Saved:
    """What a run was started with: its configuration (not resolved) and the words it was composed of."""

    config: DictConfig
    overrides: list[str]
    has_state: bool  # False for a run that was stopped before its first checkpoint


def saved_files(config: DictConfig, overrides: Sequence[str]) -> dict[str, str]:
    """File name -> text, to be written into every checkpoint folder (`checkpoints/round_0012/`)."""
    return {CONFIG: OmegaConf.to_yaml(config), OVERRIDES: yaml.safe_dump(list(overrides))}


def read_saved(folder: Path) -> Saved:
    """The configuration in the newest checkpoint of a run folder, or, where there is none, that of the run's start;
    InputError where there is neither."""
    if not folder.is_dir():
        raise InputError(f"resume={folder}: there is no such folder; give the folder of a run, outputs/<date>/<time>.")
    checkpoints = folder / "checkpoints"
    rounds = [(int(found[1]), path) for path in checkpoints.glob("round_*") if (found := _ROUND.fullmatch(path.name))]
    places = [path for _, path in sorted(rounds, reverse=True)]
    if not rounds and not _had_saved(folder):
        places = [folder / ".hydra"]
    for path in places:
        try:
            config = OmegaConf.load(path / CONFIG)
            words = yaml.safe_load((path / OVERRIDES).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError, OmegaConfBaseException):
            continue  # cut off: the one before it is used
        if isinstance(config, DictConfig) and isinstance(words, list):
            return Saved(config, [str(word) for word in words], has_state=bool(rounds))
    raise InputError(f"resume={folder}: {_why_not(folder, bool(rounds))}")


def _had_saved(folder: Path) -> bool:
    """Whether a run has saved a state, though none may be left: beginning again would put its record away."""
    return (folder / "summary.json").exists()  # written after the state


def saved_search_path(folder: Path) -> list[str]:
    """The person's own folders of options (`--config-dir`, `hydra.searchpath`) that the run was started with."""
    try:
        recorded = OmegaConf.load(folder / ".hydra" / "hydra.yaml")
    except (OSError, yaml.YAMLError):
        return []
    sources = OmegaConf.select(recorded, "hydra.runtime.config_sources") or []
    return [f"{source.schema}://{source.path}" for source in sources if "command-line" in source.provider]


def _why_not(folder: Path, has_rounds: bool) -> str:
    if folder.name == "checkpoints" or _ROUND.fullmatch(folder.name):
        above = folder.parent if folder.name == "checkpoints" else folder.parent.parent
        return f"this is a folder of checkpoints; give the folder of the run, resume={above}."
    if has_rounds:
        return "none of its checkpoints can be read; start the run again in a new folder."
    if (folder / "multirun.yaml").exists():
        return f"this is the folder of a sweep; give one of its runs, such as resume={folder / '0'}."
    if _had_saved(folder):
        return "this run has come to its end and its checkpoints are gone; start it again in a new folder."
    if holds_run(folder):
        return "this run was stopped before it had saved anything to go on from; start it again in a new folder."
    return "this is no folder of a fedlit run; give one such as outputs/<date>/<time>."
