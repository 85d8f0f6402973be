"""Changes of a batch on its way to the model: augmentation, the feature shift of a partition.

A transform draws by key and sample (`fedlit.randomness.keyed_uniform(key, index)`), never from a global generator. A
sample then gets the same draw in the batch of one client and in a stack of many clients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from fedlit.errors import InputError

Batch = Any  # output of a collate function: tensors in lists, tuples or dicts; `[inputs, targets]` from data in memory


class Transform(Protocol):
    """Changes a batch; a function or a picklable object.

    >>> import torch
    >>> from fedlit.randomness import keyed_uniform
    >>> def brighten(batch, index, client, split, key):
    ...     if split != "train":
    ...         return batch
    ...     change = keyed_uniform(key, index)[..., None]  # (..., B, 1): one draw a sample
    ...     return on_inputs(batch, lambda x: x + change)
    >>> batch = torch.zeros(2, 3), torch.tensor([0, 1])
    >>> changed, targets = brighten(batch, torch.tensor([7, 9]), torch.tensor([0]), "train", torch.tensor([5]))
    >>> changed.shape, bool(changed[0, 0] == changed[0, 1]), bool(changed[0, 0] == changed[1, 0])
    (torch.Size([2, 3]), True, False)
    """

    def __call__(self, batch: Batch, index: Tensor, client: Tensor, split: str, key: Tensor) -> Batch:
        """Return the changed batch and leave the given one unchanged.

        Args:
            batch: inputs of shape (..., B, *sample); leading axes are the clients of a stack.
            index: (..., B) int64, the samples' numbers.
            client: (..., 1) int64, the number of the client that holds the samples; -1: no client.
            split: "train", "validation" or "test".
            key: (..., 1) int64, key of the draws; it differs in each epoch.
        """
        ...


class RoundTransform(Protocol):
    """Transforms that differ between the rounds of a run; picklable."""

    def in_round(self, number: int) -> Transform | None:
        """The transform of a round; None: batches stay as they are."""
        ...


class Chain:
    """Applies transforms in sequence."""

    def __init__(self, transforms: Sequence[Transform]):
        self.transforms = tuple(transforms)

    def __call__(self, batch: Batch, index: Tensor, client: Tensor, split: str, key: Tensor) -> Batch:
        for transform in self.transforms:
            batch = transform(batch, index, client, split, key)
        return batch


def chain(*transforms: Transform | None) -> Transform | None:
    """The transforms in sequence, without those that are None; None if none is left."""
    given = [transform for transform in transforms if transform is not None]
    return Chain(given) if len(given) > 1 else given[0] if given else None


def transformed(transform: Transform, batch: Batch, index: Tensor, client: Tensor, split: str, key: Tensor) -> Batch:
    """The batch that `transform` gives, as a list where it was one: a user's step may ask for the type that its
    DataLoader gives."""
    changed = transform(batch, index, client, split, key)
    return list(changed) if type(batch) is list and type(changed) is tuple else changed


def on_inputs(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    """Apply `change` to the inputs of a batch: to a tensor itself, or to the first element of a tuple or list.

    Raises:
        InputError: the batch is neither.
    """
    if isinstance(batch, Tensor):
        return change(batch)
    if isinstance(batch, tuple | list) and batch and isinstance(batch[0], Tensor):
        elements = [change(batch[0]), *batch[1:]]
        return type(batch)(*elements) if hasattr(batch, "_fields") else type(batch)(elements)
    raise InputError(
        "partition=feature and data.augment need batches (inputs, targets), but a batch of this data set is a "
        f"{type(batch).__name__}; give such batches, or choose another partition and no augmentation."
    )
