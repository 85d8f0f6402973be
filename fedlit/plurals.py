"""Numbers with their noun, for messages."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 round`, `2 rounds`, `1,000 rounds`; `plural` where it is not the noun with an s.

    >>> counted(1, "class", "classes"), counted(2000, "round")
    ('1 class', '2,000 rounds')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
