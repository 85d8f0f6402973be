"""Label flipping: malicious clients train with wrong labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from fedlit.attacks.changed_labels import ChangedLabels
from fedlit.attacks.data_attack import DataAttack
from fedlit.attacks.labelled import WithClassTargets, class_count
from fedlit.data.extra_test import ExtraTest
from fedlit.data.source import DataSource
from fedlit.data.targets import Part
from fedlit.data.transform import Batch
from fedlit.errors import InputError
from fedlit.metric_names import ATTACK_SUCCESS
from fedlit.written_values import as_written


class LabelFlip(DataAttack):
    """The training label c of a malicious client is C - 1 - c (Fang et al. 2020, section 5.1), or mapping[c]
    (Tolpegin et al. 2020: one class in place of another).

    `attack/success` is the share of the test samples of classes that change which the global model takes for the
    changed class. With an odd C the class in the middle stays, and does not count.
    """

    def __init__(
        self,
        clients: float | Sequence[int] = 0.2,
        rounds: Sequence[int] | Mapping[str, int] | None = None,
        mapping: Mapping[int, int] | None = None,
    ):
        """
        Args:
            clients, rounds: see `Attack`.
            mapping: a class -> the class in its place; None: c becomes C - 1 - c.
        """
        super().__init__(clients, rounds)
        self.mapping = {_number(c): _number(new) for c, new in (mapping or {}).items()}
        if mapping is not None and all(c == new for c, new in self.mapping.items()):
            raise InputError(
                f"attack.mapping={as_written(self.mapping)}: no class changes; write for example "
                "'attack.mapping={7:1}', or null for all classes."
            )

    def check(self, data: DataSource, algorithm: str, pooled: bool) -> None:
        super().check(data, algorithm, pooled)
        classes = class_count(data, "label_flip")
        outside = [c for pair in self.mapping.items() for c in pair if not 0 <= c < classes]
        if outside:
            raise InputError(
                f"attack.mapping={as_written(self.mapping)}: class {outside[0]} is none of {data.name}, whose classes "
                f"are 0 to {classes - 1}; write these numbers."
            )
        self.labels = ChangedLabels.mapped(classes, self.mapping) if self.mapping else ChangedLabels.turned(classes)
        if not self.labels.differ(np.arange(classes)).any():
            raise InputError(f"attack=label_flip: {data.name} has one class, so no label can be flipped.")

    def poisoned(self, batch: Batch, part: Part | None, index: Tensor, client: Tensor, rank: Tensor) -> Batch:
        return self.labels.in_batch(batch, part, rank >= 0)

    def extra_tests(self, data: DataSource) -> dict[str, ExtraTest]:
        transform = WithClassTargets(self.labels, data.test.target)
        return {"attack success": ExtraTest(transform, self.labels.differ, {"accuracy": ATTACK_SUCCESS})}


def _number(value: object) -> int:
    """A class in a mapping; a key may be written as text."""
    try:
        number = int(str(value))
    except ValueError:
        raise InputError(
            f"attack.mapping: {value!r} is no class; write numbers, for example 'attack.mapping={{7:1}}'."
        ) from None
    return number
