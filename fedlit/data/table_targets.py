"""The column of a table that is predicted: classes or numbers, and the same code for both at every site."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from fedlit.data.features import differences_are_lost
from fedlit.data.spellings import spellings
from fedlit.data.table_numbers import NumberFormat, number_name
from fedlit.errors import InputError

_log = logging.getLogger(__name__)

_SHOWN = 5  # sites, or values of a site, that a message lists
_LIKE_MISSING = {"n/a", "na", "#n/a", "<na>", "null", "none", "nil", "-", "--", ".", "unknown", "missing"}
_MANY_CLASSES = 20
_FEW_ROWS = 10  # rows of a class, on average, below which many classes are doubtful

Key = int | float | str  # a class: the value of a number, so that 1 and 1.0 are one class, or a word


@dataclass
class TargetCells:
    """The target of each row that has one.

    Args:
        text: (N,) cells.
        site: (N,) number of each row's site.
        place: (N,) file and row of each cell, for messages.
        sites: names of the sites.
    """

    text: Sequence[str]
    site: np.ndarray
    place: Sequence[str]
    sites: Sequence[str]

    def where(self, chosen: Sequence[bool]) -> str:
        """The first chosen cell, for messages."""
        first = list(chosen).index(True)
        return f"{self.place[first]} has the target {self.text[first]!r}"


@dataclass
class Targets:
    """Targets (N,): classes int64 with their names, or numbers float32 without."""

    values: np.ndarray
    names: list[str] | None = None


def read_targets(
    cells: TargetCells, task: str, above: float | None, classes: Sequence[object] | None, form: NumberFormat
) -> Targets:
    """The targets of all rows.

    Args:
        cells: the text of the targets.
        task: "classes", "regression", or "auto": whole numbers and words are classes, other numbers a regression.
        above: turns numbers into two classes: 1 above this number, else 0.
        classes: the classes in their order, and no others; None: those of the rows, in sorted order.
        form: how the files write numbers.

    Raises:
        InputError: a target is infinite or does not fit the task, or the sites write the same classes in other ways.
    """
    if task == "regression" and (above is not None or classes is not None):
        option = "target_above" if above is not None else "classes"
        raise InputError(f"data.task=regression has no classes; write data.{option}=null, or data.task=classes.")
    if above is not None and classes is not None:
        raise InputError("data.target_above makes two classes of its own; write data.classes=null.")
    numbers = [form.value(cell) for cell in cells.text]
    words = [number is None for number in numbers]
    infinite = [number is not None and abs(number) > 1e308 for number in numbers]
    if any(infinite) and not any(words):
        raise InputError(f"{cells.where(infinite)}, which is not finite; add it to data.missing.")
    if classes is not None:
        return _given(cells, classes, numbers, form)
    if above is not None or task == "regression":
        option = "task=regression" if above is None else f"target_above={above}"
        if any(words):
            remedy = "data.task=classes" if above is None else "data.target_above=null"
            raise InputError(
                f"{cells.where(words)}, but data.{option} needs numbers as targets, not words; add it to data.missing, "
                f"or write {remedy}."
            )
        values = np.array(numbers, dtype=np.float64)
        if above is None:
            return _regression(values)
        return Targets((values > above).astype(np.int64), [f"at most {above:g}", f"above {above:g}"])
    fractions = [number is not None and number != int(number) for number in numbers if not _is_infinite(number)]
    if task == "auto" and any(fractions):
        if not any(words):
            return _regression(np.array(numbers, dtype=np.float64))
        raise InputError(
            f"{cells.where(words)}, but other targets are numbers with a fraction; add it to data.missing, or write "
            "data.task=classes."
        )
    return _sorted_classes(cells, numbers)


def _regression(values: np.ndarray) -> Targets:
    with np.errstate(over="ignore"):
        targets = values.astype(np.float32)
    if not np.isfinite(targets).all():
        raise InputError(
            f"the target {np.abs(values).max():g} is too large for 32 bits; scale the targets in the files."
        )
    if differences_are_lost(values):
        _log.warning("32 bits cannot tell the targets apart; subtract a constant in the files.")
    return Targets(targets)


def _given(
    cells: TargetCells, classes: Sequence[object], numbers: Sequence[int | float | None], form: NumberFormat
) -> Targets:
    """The classes of `data.classes`, in this order."""
    spellings_of_cells = {cell.lower(): cell for cell in cells.text}
    names = [  # the command line reads `true` as a truth value
        spellings_of_cells.get(str(name).lower(), str(name)) if isinstance(name, bool) else str(name)
        for name in classes
    ]
    positions: dict[Key, int] = {}
    for position, name in enumerate(names):
        value = form.value(name)
        positions[name if value is None else value] = position
    if len(positions) < len(names):
        raise InputError(f"data.classes=[{', '.join(names)}] names a class twice; name each once.")
    keys = _keys(cells.text, numbers)
    other = [key not in positions for key in keys]
    if any(other):
        raise InputError(
            f"{cells.where(other)}, which is not one of data.classes=[{', '.join(names)}]; add it there or to "
            "data.missing."
        )
    return Targets(np.array([positions[key] for key in keys], dtype=np.int64), names)


def _sorted_classes(cells: TargetCells, numbers: Sequence[int | float | None]) -> Targets:
    """The classes of the rows: numbers by size, or words in the order of text."""
    keys = _keys(cells.text, numbers)
    are_numbers = None not in numbers
    classes = sorted(set(keys)) if are_numbers else sorted(set(keys), key=_name)
    names = [_name(key) for key in classes]
    of_site: list[set[Key]] = [set() for _ in cells.sites]
    for site, key in zip(cells.site, keys, strict=True):
        of_site[site].add(key)
    _refuse_other_codes(cells.sites, of_site)
    _log_doubtful(cells, classes, of_site)
    positions = {key: position for position, key in enumerate(classes)}
    return Targets(np.array([positions[key] for key in keys], dtype=np.int64), names)


def _refuse_other_codes(sites: Sequence[str], of_site: Sequence[set[Key]]) -> None:
    """Refuse sites that write classes as words where others write numbers, or the same word in another way."""
    remedy = "write them in one way in all files, or name all classes by data.classes=[...]"
    words = [all(isinstance(key, str) for key in keys) for keys in of_site]
    numbers = [not any(isinstance(key, str) for key in keys) for keys in of_site]
    if any(words) and any(numbers):
        shown = [f"{sites[kind.index(True)]} has {_listed(of_site[kind.index(True)])}" for kind in (numbers, words)]
        raise InputError(f"the sites code the target in different ways: {' and '.join(shown)}; {remedy}.")
    for group in spellings(sorted(_words(set().union(*of_site)))):
        if all(len(keys & group) < 2 for keys in of_site):
            shown = [
                f"{site} has {_listed(keys & group)}" for site, keys in zip(sites, of_site, strict=True) if keys & group
            ]
            raise InputError(f"the sites code the target in different ways: {', '.join(shown[:_SHOWN])}; {remedy}.")


def _log_doubtful(cells: TargetCells, classes: Sequence[Key], of_site: Sequence[set[Key]]) -> None:
    """Log classes that may be a mistake in the files."""
    words = _words(classes)
    for group in spellings(sorted(words)):
        _log.warning("the targets %s are different classes; write them in one way if they are one.", _listed(group))
    missing = [word for word in words if word.lower() in _LIKE_MISSING]
    if missing:
        _log.warning("the target %s is a class; add it to data.missing if it is none.", _listed(missing))
    elif words and len(words) < len(classes):
        _log.warning(
            "the targets are numbers and words, such as %s, and each is a class; add the words to data.missing if they "
            "are none.",
            _listed(words),
        )
    elif not words and len(classes) > _MANY_CLASSES and len(cells.text) < _FEW_ROWS * len(classes):
        _log.warning(
            "the targets are %d different whole numbers, and each is a class; write data.task=regression if they are "
            "numbers to predict, or data.task=classes to confirm.",
            len(classes),
        )
    if any(keys != of_site[0] for keys in of_site):
        different = [i for i, keys in enumerate(of_site) if i == 0 or keys != of_site[0]]
        shown = [f"{cells.sites[i]} has {_listed(of_site[i])}" for i in different[:_SHOWN]]
        more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
        _log.warning(
            "the sites do not have the same classes: %s%s; write data.classes=[%s] to confirm.",
            *("; ".join(shown), more, ",".join(_name(key) for key in classes[:50])),
        )


def _keys(text: Sequence[str], numbers: Sequence[int | float | None]) -> list[Key]:
    return [
        cell if number is None or _is_infinite(number) else number for cell, number in zip(text, numbers, strict=True)
    ]


def _is_infinite(number: int | float | None) -> bool:
    return isinstance(number, float) and number in (np.inf, -np.inf)


def _name(key: Key) -> str:
    return key if isinstance(key, str) else number_name(key)


def _words(keys: Collection[Key]) -> list[str]:
    return [key for key in keys if isinstance(key, str)]


def _listed(keys: Collection[Key]) -> str:
    names = sorted(_name(key) for key in keys)
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
