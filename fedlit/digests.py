"""SHA-256 of the files of a checkpoint: a file that was cut off still may read as text, YAML or tensors.

`state.sha256` has a line a file as `sha256sum` writes them, that of `state.pt` last: a list that is cut off lacks it.
Checkpoints of earlier versions have the digest of `state.pt` alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from fedlit.errors import InputError

STATE, DIGESTS = "state.pt", "state.sha256"


def write_digests(folder: Path) -> None:
    """List the digests of all files of a folder in a file of it."""
    files = sorted((file for file in folder.iterdir() if file.name != DIGESTS), key=lambda file: file.name == STATE)
    lines = [f"{_digest(file)}  {file.name}\n" for file in files]
    (folder / DIGESTS).write_text("".join(lines), encoding="utf-8")


def check_digests(folder: Path, names: Sequence[str] | None = None) -> None:
    """
    Args:
        names: the files to check, if the list has them; None: all files of the list.

    Raises:
        InputError: a file is missing, is cut off or was changed, in words that begin with the checkpoint.
    """
    for name, digest in _listed(folder).items():
        if names is not None and name not in names:
            continue
        try:
            intact = _digest(folder / name) == digest
        except OSError as error:
            raise InputError(
                f"the checkpoint {folder} lacks {name}"
                if isinstance(error, FileNotFoundError)
                else f"{name} in the checkpoint {folder} cannot be read ({error.strerror})"
            ) from None
        if not intact:
            raise InputError(f"{name} in the checkpoint {folder} is cut off or was changed")


def _listed(folder: Path) -> dict[str, str]:
    """name -> digest; that of the state is among them."""
    try:
        lines = (folder / DIGESTS).read_text(encoding="ascii").split("\n")
    except FileNotFoundError:
        raise InputError(f"the checkpoint {folder} lacks {DIGESTS}") from None
    except (OSError, ValueError):
        lines = []
    pairs = [line.split("  ", 1) for line in lines if line.strip()]
    if len(pairs) == 1 and len(pairs[0]) == 1:
        return {STATE: pairs[0][0].strip()}
    listed = {pair[1]: pair[0] for pair in pairs if len(pair) == 2}
    if STATE not in listed:
        raise InputError(f"{DIGESTS} in the checkpoint {folder} is cut off or was changed")
    return listed


def _digest(file: Path) -> str:
    """The SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while piece := content.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
