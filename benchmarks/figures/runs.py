"""One run of a command: begun, resumed, or left as it is, by what its folder holds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from benchmarks.contender_process import CHECKOUT
from fedlit.run_folder import holds_run
from fedlit.settings.check import check
from fedlit.settings.compose import composer

MACHINE = "machine.txt"  # where the run was measured; written after its end


def begin_or_resume(folder: Path, words: Sequence[str]) -> list[str] | None:
    """The overrides that bring the run in a folder to its end; None if it is there already.

    A run of another configuration is removed: its figures are not those of the setting any more.
    """
    with composer() as opened:
        config = check(words, opened).composed.config
    fresh = [*words, f"hydra.run.dir={folder}"]
    if not holds_run(folder):
        return fresh
    if not (has_words(folder, words) and _has(folder, config)):
        shutil.rmtree(folder)
        return fresh
    if _rounds(folder) >= config.rounds:
        return None
    return [f"resume={folder}"]


def run(overrides: Sequence[str]) -> int:
    """Run fedlit in a process, from the checkout; returns its exit code."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run([sys.executable, "-m", "fedlit.run", *overrides], cwd=CHECKOUT, env=environment).returncode


def note_machine(folder: Path, machine: str) -> None:
    """Mark a run as finished, with the machine it was measured on."""
    if not (folder / MACHINE).exists():
        (folder / MACHINE).write_text(machine + "\n", encoding="utf-8")


def summary(folder: Path, words: Sequence[str]) -> dict[str, Any] | None:
    """The summary of a finished run of these overrides; None if there is none."""
    if not (folder / MACHINE).exists() or not has_words(folder, words):
        return None
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


def has_words(folder: Path, words: Sequence[str]) -> bool:
    """Whether the run in a folder was started with these overrides.

    fedlit may have given them a sign (`++`), and for a `_target_` it leaves out the group's option (`~sampler`). Hydra
    records its own overrides (`hydra.searchpath`) elsewhere, and in a sweep it writes values anew (`True` for `true`).
    """
    try:
        started = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    except OSError:
        return False
    given = [_read(word) for word in words if not word.startswith("hydra.")]
    return [_read(str(word)) for word in started if not str(word).startswith("~")] == given


def _read(word: str) -> tuple[str, Any]:
    """The key and the value of an override."""
    key, _, value = word.lstrip("+").partition("=")
    return key, yaml.safe_load(value)


def _has(folder: Path, config: DictConfig) -> bool:
    """Whether the run in a folder was started with this configuration.

    Keys that the run has not are left out: fedlit got them after the run began, and none may cost hours of runs.
    """
    try:
        started: Any = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "config.yaml"))
    except OSError:
        return False
    return _agrees(started, OmegaConf.to_container(config))


def _agrees(started: Any, now: Any) -> bool:
    """Whether all values of one configuration stand in another."""
    if not isinstance(started, dict):
        return started == now
    return isinstance(now, dict) and all(
        key in now and _agrees(value, now[key]) for key, value in started.items() if key != "resume"
    )


def _rounds(folder: Path) -> int:
    file = folder / "summary.json"
    return json.loads(file.read_text(encoding="utf-8"))["rounds"] if file.exists() else 0
