"""The swept values of rows: in which order rows stand, and how long numbers are shown."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

_MOST_DIGITS = 6  # a number that a user has written has no more; one that a sweeper has drawn has 17


def row_order(
    keys: Sequence[str], rows: Sequence[tuple[str, ...]], written: Mapping[str, Sequence[str]]
) -> Callable[[tuple[str, ...]], tuple[tuple[int, float], ...]]:
    """A sort key of rows: by the first swept key, then by the second one, and so on.

    Numbers stand first, by size, then texts in the order in which the command line of a sweep had them, then others in
    the order of `rows`.

    Args:
        keys: swept keys.
        rows: the values of each row, by key.
        written: key -> its values as the records of sweeps have them.

    >>> rows = [("b", "10"), ("b", "9"), ("a", "0.5")]
    >>> sorted(rows, key=row_order(["aggregator", "lr"], rows, {"aggregator": ["a", "b"]}))
    [('a', '0.5'), ('b', '9'), ('b', '10')]
    """
    ranks = []
    for place, key in enumerate(keys):
        values = list(dict.fromkeys(row[place] for row in rows))
        texts = list(dict.fromkeys([*written.get(key, ()), *values]))
        ranks.append({value: _rank(value, texts) for value in values})
    return lambda row: tuple(rank[value] for rank, value in zip(ranks, row, strict=True))


def _rank(value: str, texts: Sequence[str]) -> tuple[int, float]:
    number = _comparable(value)
    return (0, number) if isinstance(number, float) else (1, texts.index(value))


def same_value(first: str, second: str) -> bool:
    """
    >>> same_value("0.1", "1e-1"), same_value("adam", "sgd")
    (True, False)
    """
    return _comparable(first) == _comparable(second)


def _comparable(text: str) -> float | str:
    try:
        number = float(text)
    except ValueError:
        return text
    return text if math.isnan(number) else number


def short_texts(values: Sequence[str]) -> dict[str, str]:
    """Value -> how it is shown: a number of more than six digits with the fewest digits, four at least, that tell it
    from the other values of its key.

    >>> short_texts(["0.044303752452182654", "0.04430991", "0.1", "adam"])
    {'0.044303752452182654': '0.0443', '0.04430991': '0.04431', '0.1': '0.1', 'adam': 'adam'}
    """
    shown = dict(zip(values, values, strict=True))
    for digits in range(4, 18):
        shown = {value: f"{float(value):.{digits}g}" if _is_long(value) else value for value in values}
        if len(set(shown.values())) == len(set(values)):
            break
    return shown


def _is_long(text: str) -> bool:
    mantissa = re.split("[eE]", text)[0]
    return isinstance(_comparable(text), float) and len(re.sub(r"\D", "", mantissa).strip("0")) > _MOST_DIGITS
