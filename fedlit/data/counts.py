"""The counts that a published file has: another count means another file, or a part of one."""

from __future__ import annotations

from pathlib import Path

from fedlit.errors import InputError
from fedlit.plurals import counted


def check_count(file: Path, number: int, expected: int, noun: str, remedy: str, of: str = "") -> None:
    """Refuse a file that does not hold what its publisher counts.

    Args:
        file: the file, or the folder of several.
        number: how many it holds.
        expected: how many it has to hold.
        noun: the word of one of them, such as "row".
        remedy: what to do, after a semicolon.
        of: the part of the file that holds them, such as " of the user 'A'".

    Raises:
        InputError: the two differ.
    """
    if number != expected:
        raise InputError(f"{file} has {counted(number, noun)}{of}, and {expected:,} are expected; {remedy}.")
