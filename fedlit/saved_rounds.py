"""What a run that ended early has saved, and the command that goes on with it; read from its folder, without torch."""

from __future__ import annotations

from pathlib import Path

from fedlit.run_folder import checkpoint_folders
from fedlit.settings.overrides import resume_override
from fedlit.working_folder import from_command


def resume_command(folder: Path) -> str:
    """The command that goes on with the run in this folder."""
    return f"python -m fedlit.run {resume_override(from_command(folder))}"


def newest_saved(folder: Path) -> int:
    """The round of the newest checkpoint; 0 if there is none."""
    return next((number for number, _ in checkpoint_folders(folder / "checkpoints")), 0)


def saved_rounds(folder: Path, first: str = "") -> str:
    """Such as `rounds up to 12 are saved; go on with: python -m fedlit.run resume=outputs/...`.

    Args:
        first: what the user has to do before, such as "make room and ".
    """
    number = newest_saved(folder)
    if number == 0:
        return f"no round is saved; {first}begin again with: {resume_command(folder)}"
    return f"rounds up to {number} are saved; {first}go on with: {resume_command(folder)}"
