"""Data with classes, which attacks by labels need."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fedlit.attacks.changed_labels import ChangedLabels
from fedlit.data.source import DataSource
from fedlit.data.targets import Part
from fedlit.data.transform import Batch
from fedlit.errors import InputError


def class_count(data: DataSource, attack: str) -> int:
    """The number of classes.

    Raises:
        InputError: the targets are no classes.
    """
    labels = (data.train.labels(), data.test.labels())
    if data.classes is None or any(numbers is None for numbers in labels):
        raise InputError(
            f"attack={attack} changes classes, and the targets of {data.name} are not one class a sample; write "
            "another attack, such as attack=sign_flip, or data with integer labels."
        )
    return data.classes


@dataclass
class WithClassTargets:
    """The transform of a test set whose targets are the classes that an attack wants; inputs stay as they are."""

    labels: ChangedLabels
    part: Part | None

    def __call__(self, batch: Batch, index: Tensor, client: Tensor, split: str, key: Tensor) -> Batch:
        return self.labels.in_batch(batch, self.part)
