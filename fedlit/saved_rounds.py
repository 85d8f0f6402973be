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


def stopped_text(folder: Path, at_once: bool, in_sweep: bool) -> str:
    """What a run says that a signal has ended. In a sweep it names no command, because its sweep does.

    Args:
        at_once: the signal came before the rounds, or twice.
    """
    if in_sweep:
        number = newest_saved(folder)
        done = f"after round {number}" if number else "before a round was saved"
        return f"{from_command(folder)}: stopped {done}"
    if at_once:
        return f"stopped at once; {saved_rounds(folder)}"
    return f"stopped after round {newest_saved(folder)}; go on with: {resume_command(folder)}"


def saved_rounds(folder: Path, first: str = "") -> str:
    """Such as `rounds up to 12 are saved; go on with: python -m fedlit.run resume=outputs/...`.

    Args:
        first: what the user has to do before, such as "make room and ".
    """
    number = newest_saved(folder)
    if number == 0:
        return f"no round is saved; {first}begin again with: {resume_command(folder)}"
    return f"rounds up to {number} are saved; {first}go on with: {resume_command(folder)}"
