"""What is done to a batch on its way to the model: augmentation, a partition's feature shift, later poisoning.

A transform draws per sample, from keys alone (`fedlit.randomness.keyed_uniform(key, index)`), never from a global
generator: the same sample gets the same draw in a batch of its client alone and in a stack of many clients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from fedlit.errors import InputError

Batch = Any  # what a collate function gives: tensors in tuples, lists or dicts; `(inputs, targets)` from data in memory


class Transform(Protocol):
    """Changes a batch; a plain function or a picklable object."""

    def __call__(self, batch: Batch, index: Tensor, client: Tensor, stage: str, key: Tensor) -> Batch:
        """The changed batch; the given one is left as it is.

        Args:
            batch: inputs of shape (..., B, *sample); the leading axes, if any, are clients of a stack.
            index: (..., B) int64, which samples these are.
            client: (..., 1) int64, whose they are; -1: nobody's.
            stage: "train", "validation" or "test".
            key: (..., 1) int64, of the stream that draws are taken from; another one in each epoch.
        """
        ...


class Chain:
    """Transforms one after the other."""

    def __init__(self, transforms: Sequence[Transform]):
        self.transforms = tuple(transforms)

    def __call__(self, batch: Batch, index: Tensor, client: Tensor, stage: str, key: Tensor) -> Batch:
        for transform in self.transforms:
            batch = transform(batch, index, client, stage, key)
        return batch


def chain(*transforms: Transform | None) -> Transform | None:
    """The given transforms one after the other; None where there is none."""
    found = [t for t in transforms if t is not None]
    return Chain(found) if len(found) > 1 else found[0] if found else None


def on_inputs(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """The batch with its inputs changed: the batch itself, or the first element of a tuple or list."""
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, tuple | list) and batch and isinstance(batch[0], Tensor):
        rest = [change(batch[0]), *batch[1:]]
        return type(batch)(*rest) if hasattr(batch, "_fields") else type(batch)(rest)
    raise InputError(
        "partition=feature and data.augment change the inputs of batches (inputs, targets), and a batch of this data "
        f"set is a {type(batch).__name__}; give such batches, or write another partition and no augmentation."
    )
