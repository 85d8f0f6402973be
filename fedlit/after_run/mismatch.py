"""Whether a model that was trained on some data can be measured on others."""

from __future__ import annotations

from fedlit.data import DataSource
from fedlit.errors import InputError
from fedlit.plurals import counted


def check_fits(trained: DataSource, other: DataSource) -> None:
    """
    Raises:
        InputError: the samples have another shape, or there are other classes.
    """
    if trained.input_shape != other.input_shape:
        raise InputError(
            f"data: a sample of {other.name} has the shape {other.input_shape}, and the run was trained on "
            f"{trained.name} with {trained.input_shape}; give data of that shape."
        )
    if trained.classes != other.classes:
        raise InputError(
            f"data: {other.name} has {_classes(other)}, and the run was trained on {trained.name} with "
            f"{_classes(trained)}; give data with the same classes."
        )
    names = trained.label_names, other.label_names
    if None not in names and names[0] != names[1]:
        pairs = enumerate(zip(*map(list, names), strict=True))  # type: ignore[arg-type]
        place, (expected, name) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        raise InputError(
            f"data: class {place} of {other.name} is {name}, and in {trained.name}, on which the run was trained, "
            f"{expected}; give data with the same classes in the same order."
        )


def _classes(data: DataSource) -> str:
    return "no classes" if data.classes is None else counted(data.classes, "class", "classes")
