"""The part of a sample or of a batch that holds the targets."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedlit.errors import InputError
from fedlit.plurals import counted
from fedlit.torch_compat import pytree

Part = int | str  # position in a tuple or list, key of a dict, or name of an attribute
NAMES = ("targets", "labels", "target", "label", "y")  # keys of the target in a sample that is a dict
_NUMBER_NAME = re.compile(r"(^|_)(id|idx|uid|index|indices|number)s?$")
_CLASSES = 100_000  # more are counted only if there are enough samples


def as_classes(targets: Any) -> np.ndarray | None:
    """`targets` as (N,) int64 if they are one integer or bool a sample, (N,) or (N, 1); else None."""
    try:
        array = np.asarray(targets.cpu() if isinstance(targets, Tensor) else targets)
    except (ValueError, TypeError):  # ragged (boxes, sequences), or of a type that numpy does not have
        return None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "iub":
        return None
    if array.dtype == np.uint64:  # a number that int64 lacks would become a negative one
        array = np.minimum(array, np.uint64(np.iinfo(np.int64).max))
    return array.astype(np.int64)


def check_range(labels: np.ndarray | None) -> np.ndarray | None:
    """The labels, if they can be counted: tables of classes have a column for each number up to the highest label.

    Raises:
        InputError: the highest label is neither below 100,000 nor below ten times the number of samples.
    """
    if labels is not None and len(labels) and int(labels.max()) >= max(_CLASSES, 10 * len(labels)):
        raise InputError(
            f"data: the labels of {counted(len(labels), 'sample')} are whole numbers from {labels.min()} to "
            f"{labels.max()}, too "
            "wide a range for classes; number the classes from 0 (numpy.unique(labels, return_inverse=True)[1]), or "
            "give floats if they are not classes."
        )
    return labels


def class_targets(targets: Any) -> Tensor | None:
    """The class labels (N,) int64 in the targets of a batch, integers or bools (N,) or (N, 1); None for other targets.

    A label below 0 is no class (`torch.nn.CrossEntropyLoss` has `ignore_index=-100`): such a sample has no accuracy.
    """
    if not torch.is_tensor(targets) or targets.is_floating_point() or targets.is_complex():
        return None
    if targets.dim() == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    return targets.long() if targets.dim() == 1 else None


def target_in(batch: Any, part: Part | None) -> Any:
    """The targets of a batch: its part `part`, if it is not None; else the last part of a tuple or list, or the entry
    of a dict with one of the usual names; None if there are none.

    Raises:
        InputError: the batch has no such part.
    """
    if part is not None:
        try:
            return getattr(batch, part) if isinstance(part, str) and not isinstance(batch, Mapping) else batch[part]
        except (LookupError, AttributeError, TypeError):
            raise InputError(f"data.target={part}: a batch {_parts(batch)}.") from None
    if isinstance(batch, tuple | list) and len(batch) > 1:
        return batch[-1]
    if isinstance(batch, Mapping):
        return next((batch[name] for name in NAMES if name in batch), None)
    return None


def with_targets(batch: Any, part: Part | None, change: Callable[[Tensor], Tensor]) -> Any:
    """The batch with other targets, found as by `target_in`; the given batch stays as it is.

    >>> with_targets([torch.zeros(2), torch.tensor([0, 1])], None, lambda y: 1 - y)
    [tensor([0., 0.]), tensor([1, 0])]

    Raises:
        InputError: the batch has no targets that are a tensor.
    """
    targets = target_in(batch, part)
    if not torch.is_tensor(targets):
        raise InputError(
            f"the targets of a batch cannot be changed, because it holds a {type(targets).__name__} in their place; "
            "give batches (inputs, targets), or name the targets by data.target."
        )
    changed = change(targets)
    if isinstance(batch, Mapping):
        key = part if part is not None else next(name for name in NAMES if name in batch)
        return type(batch)({**batch, key: changed})  # type: ignore[call-arg]
    if isinstance(batch, tuple | list):
        fields = getattr(batch, "_fields", ())
        place = fields.index(part) if isinstance(part, str) else -1 if part is None else part
        elements = list(batch)
        elements[place] = changed
        return type(batch)(*elements) if fields else type(batch)(elements)
    batch = copy.copy(batch)
    setattr(batch, str(part), changed)
    return batch


def measured_targets(batch: Any, part: Part | None) -> Any:
    """The targets that metrics compare with the outputs: as `target_in`, the only tensor in it; in a dict without a
    usual name, its only integers (N,), if they are not named as numbers of samples."""
    targets = target_in(batch, part)
    if isinstance(targets, tuple | list | Mapping):
        return only_tensor(targets)
    if targets is None and isinstance(batch, Mapping):
        values = [value for name, value in batch.items() if not _NUMBER_NAME.search(str(name).lower())]
        integers = [value for value in values if class_targets(value) is not None]
        return integers[0] if len(integers) == 1 else None
    return targets


def only_tensor(targets: Any) -> Tensor | None:
    """The tensor in a nest of tuples, lists and dicts; None if there is none or more than one."""
    tensors = [leaf for leaf in pytree.tree_leaves(targets) if torch.is_tensor(leaf)]
    return tensors[0] if len(tensors) == 1 else None


def _parts(batch: Any) -> str:
    if isinstance(batch, Mapping):
        keys = ", ".join(map(str, batch))
        return f"is a dict with the keys {keys}; write data.target=<one of them>"
    if isinstance(batch, tuple | list):
        return f"has {counted(len(batch), 'part')}; write a number from 0 to {len(batch) - 1}"
    return f"is a {type(batch).__name__} without it; leave data.target out, or name an attribute"


def target_part(batch: Any, attribute: np.ndarray | None, where: str) -> Part | None:
    """The part of a batch that holds the targets, if no `data.target` names it; None if no part does.

    A pair has them at 1. A dict has them under one of the usual names. Samples of three or more parts may be inputs,
    label and number, or two inputs and a label: the part is that which agrees with the data set's attribute.

    Args:
        batch: some samples.
        attribute: the labels of these samples by the data set's attribute `targets` or `labels`, if it has one.
        where: the data set, in messages.

    Raises:
        InputError: several parts could be the label.
    """
    if isinstance(batch, Mapping):
        parts: Sequence[Part] = [name for name in NAMES if name in batch]
    elif isinstance(batch, tuple | list):
        parts = range(1, len(batch))
    else:
        return None
    labels = {part: classes for part in parts if (classes := as_classes(batch[part])) is not None}
    certain = len(parts) == 1 if isinstance(batch, tuple | list) else len(labels) <= 1
    if certain or not labels:
        named = isinstance(batch, Mapping) or len(parts) == 1
        return next(iter([*labels, *parts]), None) if named else None
    if attribute is not None:
        agreeing = [part for part, classes in labels.items() if np.array_equal(classes, attribute)]
        if len(agreeing) == 1:
            return agreeing[0]
    if isinstance(batch, Mapping) and len({tuple(classes) for classes in labels.values()}) == 1:
        return next(iter(labels))
    kinds = " and ".join(map(str, labels))
    held = f"whole numbers are at {kinds}" if len(labels) > 1 else f"the only whole number is at {kinds}"
    count = counted(len(batch), "part") if isinstance(batch, tuple | list) else f"the keys {', '.join(map(str, batch))}"
    ways = " or ".join(f"data.target={part}" for part in labels)
    raise InputError(
        f"data: a sample of {where} has {count} ({held}), so its label is not known; write {ways}, or another part."
    )
