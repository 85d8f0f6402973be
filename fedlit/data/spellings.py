"""Words that are one word, written in different ways."""

from __future__ import annotations

import re
from collections.abc import Iterable


def spellings(words: Iterable[str]) -> list[set[str]]:
    """The words that differ only in case, in the mark between two words or in a full stop, two or more together.

    >>> [sorted(group) for group in spellings(["yes", "Yes", "not_ill", "not ill", "A", "A-"])]
    [['Yes', 'yes'], ['not ill', 'not_ill']]
    """
    groups: dict[str, set[str]] = {}
    for word in words:
        groups.setdefault(
            re.sub(r"(?<=\w)[\s_-]+(?=\w)", " ", word.replace("_", " ").casefold()).rstrip("."), set()
        ).add(word)
    return [group for group in groups.values() if len(group) > 1]
