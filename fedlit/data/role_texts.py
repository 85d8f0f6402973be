"""What each role of a play says, from a file of texts."""

from __future__ import annotations

import json
from pathlib import Path

from fedlit.errors import InputError, one_line


def role_texts(file: Path) -> dict[str, str]:
    """The text of each role, in the order of the file.

    A `.json` file maps the role's name to its text. Any other file is a play as in karpathy's tinyshakespeare: speeches
    between blank lines, whose first line is the role's name and a colon. The speeches of a role are joined by a line
    break, and a role without words is left out.

    Raises:
        InputError: the file is neither.
    """
    try:
        text = file.read_text(encoding="utf-8")
        return _roles_of_json(file, text) if file.suffix == ".json" else _roles_of_play(file, text)
    except (OSError, UnicodeError, json.JSONDecodeError) as error:
        raise InputError(f"{file} cannot be read ({one_line(error)}); the file is damaged, get it again.") from None


def _roles_of_json(file: Path, text: str) -> dict[str, str]:
    roles = json.loads(text)
    if not isinstance(roles, dict) or not all(isinstance(words, str) for words in roles.values()):
        raise InputError(f"{file} is no mapping from roles to texts; write a JSON object of one text a role.")
    return roles


def _roles_of_play(file: Path, text: str) -> dict[str, str]:
    speeches: dict[str, list[str]] = {}
    for block in text.strip("\n").split("\n\n"):
        name, _, words = block.partition("\n")
        if not name.endswith(":"):
            raise InputError(
                f"{file}: the speech that begins with {name[:40]!r} names no role; the first line of a speech is the "
                "role's name and a colon."
            )
        speeches.setdefault(name[:-1], []).append(words)
    joined = {role: "\n".join(words) for role, words in speeches.items()}
    return {role: words for role, words in joined.items() if words.strip()}
