"""A client's shard as a LightningDataModule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import LightningDataModule

from fedlit.data.samples import Samples
from fedlit.data.transform import Batch, Transform, transformed
from fedlit.device_copies import to_device


class ClientData(LightningDataModule):
    """Holds all samples of a worker; `load` sets the batches of one client before each fit.

    Args:
        samples: the samples that the batches' indices number.
        transform: applied to each training batch.
        device: device of the batches; None: the device of the samples.
    """

    def __init__(self, samples: Samples, transform: Transform | None = None, device: torch.device | str | None = None):
        super().__init__()
        self.samples = samples if device is None else samples.to(device)
        self.transform, self.device = transform, device
        self._epochs: Sequence[Sequence[np.ndarray]] = ()
        self._client, self._keys = -1, list[int]()

    def load(self, epochs: Sequence[Sequence[np.ndarray]], client: int, keys: Sequence[int]) -> None:
        """Set the batches of the next fit.

        Args:
            epochs: the batches of each epoch, as arrays of sample indices; every epoch has the same number of batches.
            client: number of the client that trains.
            keys: for each epoch the key of its draws (`seed_number`, or any int64).

        Raises:
            ValueError: the epochs differ in their number of batches, or do not have one key each.
        """
        if len(keys) != len(epochs) or len({len(epoch) for epoch in epochs}) > 1:
            raise ValueError(
                f"{[len(e) for e in epochs]} batches in the epochs do not match each other or {len(keys)} keys"
            )
        self._epochs, self._client, self._keys = epochs, client, list(keys)

    def train_dataloader(self) -> EpochBatches:
        return EpochBatches(self)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The transformed training batches of an epoch, on `device`."""
        parts, key = self._epochs[epoch], self._keys[epoch]
        for part, batch in zip(parts, self.samples.batches(parts, key), strict=True):
            if not self.samples.in_memory and self.device is not None:
                batch = move_data_to_device(batch, torch.device(self.device))
            yield batch if self.transform is None else self._transformed(batch, part, key)

    def count(self) -> int:
        """The number of batches in an epoch."""
        return len(self._epochs[0]) if self._epochs else 0

    def _transformed(self, batch: Batch, part: np.ndarray, key: int) -> Batch:
        assert self.transform is not None
        device = self.device
        if device is None and isinstance(batch, tuple | list) and batch and isinstance(batch[0], torch.Tensor):
            device = batch[0].device
        index, client, epoch_key = (to_device(numbers, device) for numbers in (part, [self._client], [key]))
        return transformed(self.transform, batch, index, client, "train", epoch_key)


class EpochBatches:
    """The loader that a Trainer iterates; each iteration yields the batches of the next epoch."""

    def __init__(self, data: ClientData):
        self._data = data
        self._epoch = 0

    def __len__(self) -> int:
        return self._data.count()

    def __iter__(self) -> Iterator[Batch]:
        # A generator counts the epoch at its first batch, because Lightning creates iterators that it never uses.
        epoch, self._epoch = self._epoch, self._epoch + 1
        yield from self._data.batches(epoch)
