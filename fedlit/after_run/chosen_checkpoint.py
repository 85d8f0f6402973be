"""The checkpoint that `checkpoint=last`, `best` or a round names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedlit.checkpoint import facts_of
from fedlit.errors import InputError
from fedlit.run_folder import FIRST, checkpoint_folders
from fedlit.saved_rounds import resume_command
from fedlit.saved_run import SavedRun

BEST = "best"


def chosen_checkpoint(folder: Path, choice: Any) -> str:
    """The name of a folder in `checkpoints/`. Where the best round is among those that are kept with the states of
    clients, it is that one.

    Args:
        folder: the run folder.
        choice: "last", "best" or the number of a round.

    Raises:
        InputError: the run has no such checkpoint.
    """
    checkpoints = folder / "checkpoints"
    kept = {number: path.name for number, path in checkpoint_folders(checkpoints)}
    if (checkpoints / FIRST).is_dir():
        kept[0] = FIRST
    has_best = (checkpoints / BEST).is_dir()
    newest = max(kept, default=0)
    if not (kept and (newest or choice != "last")):
        raise InputError(f"{folder}: this run has saved no round; go on with it by {resume_command(folder)}.")
    if choice == "last":
        return kept[newest]
    if choice == BEST:
        if not has_best:
            raise InputError(_no_best(folder, kept))
        return kept.get(facts_of(checkpoints / BEST).get("round", -1), BEST)
    if isinstance(choice, bool) or not isinstance(choice, int) or choice not in kept:
        problem = "this run has kept no such round" if isinstance(choice, int) else "this is no round"
        raise InputError(f"checkpoint={choice}: {problem}; write checkpoint={_listed(kept, has_best)}.")
    return kept[choice]


def _no_best(folder: Path, kept: dict[int, str]) -> str:
    """Why there is no best round, and what to write."""
    best = (SavedRun(folder).summary or {}).get("best") or {}
    number, chosen_by = best.get("round"), best.get("chosen_by")
    advice = "run it with evaluation.client_validation=0.2"
    if chosen_by != "test":
        which = "this run has chosen no round by validation data"
        return f"checkpoint={BEST}: {which}; write checkpoint={_listed(kept, False)}, or {advice}."
    which = f"round {number} is the best by test data, and only a round that is the best by validation data is saved"
    if number in kept:
        return f"checkpoint={BEST}: {which} so; this one is kept: write checkpoint={number}, or {advice}."
    return f"checkpoint={BEST}: {which}; write checkpoint={_listed(kept, False)}, or {advice}."


def _listed(kept: dict[int, str], has_best: bool) -> str:
    """Such as `last, best, 0 or 20`."""
    words = [*(["last"] if any(kept) else []), *([BEST] if has_best else []), *map(str, sorted(kept))]
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words)
