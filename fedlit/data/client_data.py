"""A client's shard as a LightningDataModule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import LightningDataModule

from fedlit.data.samples import Samples
from fedlit.data.transform import Batch, Transform, transformed


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
        self._validation: Sequence[np.ndarray] = ()

    def load(
        self,
        epochs: Sequence[Sequence[np.ndarray]],
        client: int,
        keys: Sequence[int],
        validation: Sequence[np.ndarray] = (),
    ) -> None:
        """Set the batches of the next fit.

        Args:
            epochs: the batches of each epoch, as arrays of sample indices; every epoch has the same number of batches.
            client: number of the client that trains.
            keys: for each epoch the key of its draws (`seed_number`, or any int64).
            validation: the batches of each validation pass.

        Raises:
            ValueError: the epochs differ in their number of batches, or do not have one key each.
        """
        if len(keys) != len(epochs) or len({len(epoch) for epoch in epochs}) > 1:
            raise ValueError(
                f"{[len(e) for e in epochs]} batches in the epochs do not match each other or {len(keys)} keys"
            )
        self._epochs, self._client, self._keys, self._validation = epochs, client, list(keys), validation

    def train_dataloader(self) -> EpochBatches:
        return EpochBatches(self)

    def val_dataloader(self) -> ValidationBatches:
        return ValidationBatches(self)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The transformed training batches of an epoch, on `device`. Lightning's StochasticWeightAveraging adds an
        epoch, in which only batch normalisation sees the data: it has the last one's batches."""
        epoch = min(epoch, len(self._epochs) - 1)
        parts, key = self._epochs[epoch], self._keys[epoch]
        for part, batch in zip(parts, self.samples.batches(parts, key), strict=True):
            if not self.samples.in_memory and self.device is not None:
                batch = move_data_to_device(batch, torch.device(self.device))
            yield batch if self.transform is None else self._transformed(batch, part, key, "train")

    def validation_batches(self) -> Iterator[Batch]:
        """The batches of a validation pass, transformed as where a model is measured."""
        for part, batch in zip(self._validation, self.samples.batches(self._validation), strict=True):
            if not self.samples.in_memory and self.device is not None:
                batch = move_data_to_device(batch, torch.device(self.device))
            yield batch if self.transform is None else self._transformed(batch, part, 0, "validation")

    def validation_count(self) -> int:
        """The number of batches in a validation pass."""
        return len(self._validation)

    def count(self) -> int:
        """The number of batches in an epoch."""
        return len(self._epochs[0]) if self._epochs else 0

    def _transformed(self, batch: Batch, part: np.ndarray, key: int, split: Literal["train", "validation"]) -> Batch:
        assert self.transform is not None
        device = self.device
        if device is None and isinstance(batch, tuple | list) and batch and isinstance(batch[0], torch.Tensor):
            device = batch[0].device
        index = torch.tensor(np.asarray(part), device=device)
        client, epoch_key = torch.tensor([self._client], device=device), torch.tensor([key], device=device)
        return transformed(self.transform, batch, index, client, split, epoch_key)


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


class ValidationBatches:
    """The loader that a Trainer iterates for each validation pass."""

    def __init__(self, data: ClientData):
        self._data = data

    def __len__(self) -> int:
        return self._data.validation_count()

    def __iter__(self) -> Iterator[Batch]:
        return self._data.validation_batches()
