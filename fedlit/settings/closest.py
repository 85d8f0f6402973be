"""What a mistyped word was meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None where nothing is alike."""
    by_lower = {name.lower(): name for name in known}
    swapped = [name for name in by_lower if sorted(name) == sorted(word.lower())]  # short ones are else too unlike
    found = swapped or get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def closest_key(key: str, known: Iterable[str]) -> str | None:
    """The known dotted key most like `key`.

    Where the part before the last dot is right, only its own keys are compared (else the long common beginning makes
    every key of it alike); a short name is also looked for as the last part of any key (`lr` finds `optimizer.lr`).
    """
    known = list(known)
    if (found := _closest_inside(key, known)) is not None:
        return found
    parent, _, name = key.rpartition(".")
    beside = {k.rpartition(".")[2]: k for k in known if k.rpartition(".")[0] == parent}
    if parent and beside:
        found = closest(name, beside)
        return beside[found] if found else None
    if found := closest(key, known):
        return found
    ends = {k.rpartition(".")[2]: k for k in reversed(known)}  # the first of several with the same end wins
    found = closest(name, ends) if not parent else None
    return ends[found] if found else None


def _closest_inside(key: str, known: Iterable[str]) -> str | None:
    """`key` with an inner part put right: `evaluation.metrics.f1.x` for `evaluation.metric.f1.x`."""
    parts = key.split(".")
    for depth in range(1, len(parts) - 1):
        above = "".join(f"{part}." for part in parts[:depth])
        beside = {name.removeprefix(above).partition(".")[0] for name in known if name.startswith(above)}
        if parts[depth] not in beside:
            found = closest(parts[depth], beside)
            return found and above + ".".join([found, *parts[depth + 1 :]])
    return None


def listed(words: Iterable[str]) -> str:
    """`a, b or c`."""
    *first, last = list(words) or ["nothing"]
    return f"{', '.join(first)} or {last}" if first else last
