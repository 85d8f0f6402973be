"""An experiment of the user's with published values, which runs in a fraction of a second."""

from __future__ import annotations

from pathlib import Path

SETTINGS = """\
# @package _global_
# Somebody 2021, table 3, a small case.
defaults:
  - override /model: logistic
  - override /trainer: vectorized
clients: 2          # number of clients [int >= 1]
rounds: 2           # number of rounds [int >= 1]
local_updates: 1    # steps of a client in a round [int >= 1 or null]
checkpoint:
  every: 0          # seconds [float >= 0]
"""
GIVEN = ("threads=1", "device=cpu")


def write_experiment(folder: Path, published: str, name: str = "mine") -> str:
    """Write `experiment/<name>.yaml` into a folder; the word that adds it to the search path."""
    file = folder / "experiment" / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(SETTINGS + published)
    return f"hydra.searchpath=[{folder}]"
