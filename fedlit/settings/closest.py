"""The known name that is nearest to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, or None if none is similar."""
    by_lower = {name.lower(): name for name in known}
    swapped = [
        name for name in by_lower if sorted(name) == sorted(word.lower())
    ]  # get_close_matches misses them if they are short
    matches = swapped or get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def slips(word: str, known: Iterable[str]) -> list[str]:
    """The known words of which `word` is a slip: another case or hyphen, its beginning, or one or two wrong letters.

    Closer than `closest`, because names of algorithms and data sets that differ in more letters, or in a number, are
    names of other things: fedsgd is no slip of fedavg.
    """
    plain = normalised(word)
    by_plain = {normalised(name): name for name in known}
    if plain in by_plain:
        return [by_plain[plain]]
    beginnings = [name for other, name in by_plain.items() if len(plain) >= 3 and other.startswith(plain)]
    if beginnings:
        return beginnings
    allowed = 1 if len(plain) < 8 else 2
    distances = {name: _distance(plain, other) for other, name in by_plain.items() if _digits(plain) == _digits(other)}
    return sorted((name for name, distance in distances.items() if distance <= allowed), key=lambda n: distances[n])


def normalised(word: str) -> str:
    """`word` in small letters, without hyphens and underscores: FedAvg, fed_avg and fed-avg are one name."""
    return word.lower().replace("_", "").replace("-", "").replace(" ", "")


def _digits(word: str) -> str:
    return "".join(letter for letter in word if letter.isdigit())


def _distance(a: str, b: str) -> int:
    """The number of letters to insert, delete, replace, or swap with the next one (optimal string alignment)."""
    rows = [list(range(len(b) + 1))]
    for i in range(1, len(a) + 1):
        row = [i]
        for j in range(1, len(b) + 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                best = min(best, rows[-2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]


def closest_key(key: str, known: Iterable[str]) -> str | None:
    """The known dotted key most like `key`.

    Where the part before the last dot is right, only the keys under it are compared (else the long common prefix makes
    all of them similar); a short name is also looked for as the last part of any key (`lr` finds `optimizer.lr`).
    """
    known = list(known)
    if (corrected := _closest_inside(key, known)) is not None:
        return corrected
    parent, _, name = key.rpartition(".")
    siblings = {k.rpartition(".")[2]: k for k in known if k.rpartition(".")[0] == parent}
    if parent and siblings:
        nearest = closest(name, siblings)
        return siblings[nearest] if nearest else None
    if nearest := closest(key, known):
        return nearest
    ends = {k.rpartition(".")[2]: k for k in reversed(known)}  # the first of several with the same end wins
    nearest = closest(name, ends) if not parent else None
    return ends[nearest] if nearest else None


def _closest_inside(key: str, known: Iterable[str]) -> str | None:
    """`key` with an inner part corrected: `evaluation.metrics.f1.x` for `evaluation.metric.f1.x`."""
    parts = key.split(".")
    for depth in range(1, len(parts) - 1):
        above = "".join(f"{part}." for part in parts[:depth])
        siblings = {name.removeprefix(above).partition(".")[0] for name in known if name.startswith(above)}
        if parts[depth] not in siblings:
            nearest = closest(parts[depth], siblings)
            return nearest and above + ".".join([nearest, *parts[depth + 1 :]])
    return None


def listed(words: Iterable[str]) -> str:
    """`a, b or c`."""
    *first, last = list(words) or ["nothing"]
    return f"{', '.join(first)} or {last}" if first else last
