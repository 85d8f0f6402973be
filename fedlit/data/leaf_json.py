"""The JSON files of LEAF (Caldas et al. 2018, arXiv:1812.01097), one folder for each part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fedlit.data.counts import check_count
from fedlit.errors import InputError, one_line

_KEYS = ("users", "num_samples", "user_data")
_REMEDY = "write it again by LEAF's preprocess.sh"


def leaf_users(folder: Path) -> dict[str, tuple[list[Any], list[Any]]]:
    """The inputs and targets of each user, from all JSON files of a folder, in the order of their names.

    Raises:
        InputError: there is no file, or a user has not the number of samples that its file counts.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise InputError(f"There is no JSON file in {folder}; {_REMEDY.replace('it again', 'them')}.")
    users: dict[str, tuple[list[Any], list[Any]]] = {}
    for file in files:
        for user, samples in _users_of(file).items():
            if user in users:
                raise InputError(f"the user {user!r} is in two files of {folder}; remove the files of other samplings.")
            users[user] = samples
    return users


def _users_of(file: Path) -> dict[str, tuple[list[Any], list[Any]]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, json.JSONDecodeError) as error:
        raise InputError(f"{file} cannot be read ({one_line(error)}); {_REMEDY}.") from None
    if not isinstance(content, dict) or any(key not in content for key in _KEYS):
        raise InputError(f"{file} lacks {' or '.join(_KEYS)}, which LEAF's files have; {_REMEDY}.")
    check_count(file, len(content["num_samples"]), len(content["users"]), "user", _REMEDY, of=" in num_samples")
    check_count(file, len(content["user_data"]), len(content["users"]), "user", _REMEDY)
    samples = {}
    for user, expected in zip(content["users"], content["num_samples"], strict=True):
        held = content["user_data"].get(user) or {}
        x, y = (held.get(part, []) for part in "xy")
        for part in (x, y):
            check_count(file, len(part), expected, "sample", _REMEDY, of=f" of the user {user!r}")
        samples[user] = (x, y)
    return samples
