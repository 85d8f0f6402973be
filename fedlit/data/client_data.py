"""A client's shard as a LightningDataModule."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch import LightningDataModule
from torch.utils.data import Dataset, Subset

from fedlit.data.samples import Samples
from fedlit.data.transform import Batch, Transform, chain, transformed
from fedlit.device_copies import to_device
from fedlit.errors import InputError
from fedlit.lightning_compat import show_train_loader
from fedlit.notices import warn
from fedlit.torch_compat import pytree


@dataclass
class ShardPass:
    """Batches of one pass over a client's samples."""

    batches: Sequence[np.ndarray]  # their sample indices
    key: int  # of their draws (`seed_number`, or any int64)


class ClientData(LightningDataModule):
    """Holds all samples of a worker; `load` sets the batches of one client before each fit.

    Args:
        samples: the samples that the batches' indices number.
        transform: applied to each training batch.
        device: device of the batches; None: the device of the samples.

    Attributes:
        trainer: whose epoch is read; None: each iteration of a loader is the next epoch.
    """

    trainer: Any

    def __init__(self, samples: Samples, transform: Transform | None = None, device: torch.device | str | None = None):
        super().__init__()
        self.samples = samples if device is None else samples.to(device)
        self.transform, self.device = transform, device
        self._epochs: Sequence[Sequence[ShardPass]] = ()
        self._client = -1
        self._validation: Sequence[np.ndarray] = ()
        self._index: np.ndarray | None = None
        self._batch_size: int | None = None
        self._training_transform = transform

    def load(
        self,
        epochs: Sequence[Sequence[ShardPass]],
        client: int,
        validation: Sequence[np.ndarray] = (),
        index: np.ndarray | None = None,
        batch_size: int | None = None,
        poison: Transform | None = None,
    ) -> None:
        """Set the batches of the next fit.

        Args:
            epochs: the batches of each epoch, in the passes that they belong to; every epoch has the same number of
                batches.
            client: number of the client that trains.
            validation: the batches of each validation pass.
            index: (n,) all samples of the client; None: those of the first epoch.
            batch_size: of a full batch; None: of the first one.
            poison: applied to each training batch after the transform; None: nothing is.

        Raises:
            ValueError: the epochs differ in their number of batches.
        """
        self._epochs, self._client, self._validation = epochs, client, validation
        counts = [len(self._parts(number)) for number in range(len(epochs))]
        if len(set(counts)) > 1:
            raise ValueError(f"{counts} batches in the epochs do not match each other")
        self._index, self._batch_size = index, batch_size
        self._training_transform = chain(self.transform, poison)

    def setup(self, stage: str) -> None:
        """Make the trainer's loader before the module's hooks run: they may read it."""
        if self.trainer is not None and stage == "fit":
            self.trainer.fit_loop.setup_data()
        elif self.trainer is not None:
            show_train_loader(self.trainer, self.train_dataloader())

    def train_dataloader(self) -> EpochBatches:
        return EpochBatches(self)

    def val_dataloader(self) -> ValidationBatches:
        if not self._validation:
            warn(
                "self.trainer.datamodule.val_dataloader() is read in a fit and is empty, because the client has no "
                "validation samples; write evaluation.client_validation=0.2."
            )
        return ValidationBatches(self)

    def test_dataloader(self) -> Any:
        raise InputError(
            "self.trainer.datamodule.test_dataloader() is called in a client's fit, which has its training and "
            "validation samples only; leave the call out: fedlit measures on test samples after the fits."
        )

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The transformed training batches of an epoch, on `device`. Lightning's StochasticWeightAveraging adds an
        epoch, in which only batch normalisation sees the data: it has the last one's batches."""
        for shard_pass in self._epochs[self.known(epoch)]:
            parts, key = shard_pass.batches, shard_pass.key
            for part, batch in zip(parts, self.samples.batches(parts, key), strict=True):
                if not self.samples.in_memory and self.device is not None:
                    batch = move_data_to_device(batch, torch.device(self.device))
                yield self._transformed(self._training_transform, batch, part, key, "train")

    def validation_batches(self) -> Iterator[Batch]:
        """The batches of a validation pass, transformed as where a model is measured."""
        for part, batch in zip(self._validation, self.samples.batches(self._validation), strict=True):
            if not self.samples.in_memory and self.device is not None:
                batch = move_data_to_device(batch, torch.device(self.device))
            yield self._transformed(self.transform, batch, part, 0, "validation")

    def validation_count(self) -> int:
        """The number of batches in a validation pass."""
        return len(self._validation)

    def count(self) -> int:
        """The number of batches in an epoch."""
        return len(self._parts(0)) if self._epochs else 0

    def length(self, epoch: int, batch_idx: int) -> int:
        """The number of samples in a batch of an epoch, whatever the axes of its tensors are."""
        return len(self._parts(self.known(epoch))[batch_idx])

    def parts(self, epoch: int) -> list[list[int]]:
        """The samples of each batch of an epoch."""
        return [part.tolist() for part in self._parts(self.known(epoch))]

    def _parts(self, epoch: int) -> list[np.ndarray]:
        return list(itertools.chain.from_iterable(shard_pass.batches for shard_pass in self._epochs[epoch]))

    def known(self, epoch: int) -> int:
        """The number of an epoch; of the last one after the fit."""
        return min(epoch, len(self._epochs) - 1)

    @property
    def batch_size(self) -> int:
        return self._batch_size or len(self._parts(0)[0])

    @property
    def dataset(self) -> Dataset[Any]:
        """The client's samples, without the transform of a batch."""
        return dataset_of(self.samples, np.sort(np.concatenate(self._parts(0))) if self._index is None else self._index)

    @property
    def validation_dataset(self) -> Dataset[Any]:
        """The client's validation samples, likewise."""
        return dataset_of(self.samples, np.concatenate([*self._validation, np.array([], np.int64)]))

    def _transformed(
        self,
        transform: Transform | None,
        batch: Batch,
        part: np.ndarray,
        key: int,
        split: Literal["train", "validation"],
    ) -> Batch:
        if transform is None:
            return batch
        device = self.device
        if device is None and isinstance(batch, tuple | list) and batch and isinstance(batch[0], torch.Tensor):
            device = batch[0].device
        index, client, epoch_key = (to_device(numbers, device) for numbers in (part, [self._client], [key]))
        return transformed(transform, batch, index, client, split, epoch_key)


class FirstBatch(ClientData):
    """One batch of a few samples, the same in each epoch and validation pass: the data of a module
    outside of a client's fit.

    Args:
        index: (n,) the samples.
        read: returns the batch; called once, at the first iteration.
    """

    def __init__(self, samples: Samples, index: np.ndarray, read: Callable[[], Any]):
        super().__init__(samples)
        self.load([[ShardPass([index], 0)]], 0, [index], index, len(index))
        self._read = read
        self._batch: Any = None

    def batches(self, epoch: int) -> Iterator[Batch]:
        if self._batch is None:
            self._batch = self._read()
        yield self._batch

    def validation_batches(self) -> Iterator[Batch]:
        yield from self.batches(0)


class EpochBatches:
    """The loader of a client: `trainer.train_dataloader`. An iteration yields the batches of the trainer's epoch."""

    def __init__(self, data: ClientData):
        self._data = data
        self._epoch = 0

    def __len__(self) -> int:
        return self._data.count()

    def __iter__(self) -> Iterator[Batch]:
        # A generator asks for the epoch at its first batch, because Lightning creates iterators that it never uses.
        epoch, self._epoch = self._current_epoch(), self._epoch + 1
        yield from self._data.batches(epoch)

    def _current_epoch(self) -> int:
        trainer = self._data.trainer
        return self._data.known(self._epoch if trainer is None else trainer.current_epoch)

    @property
    def dataset(self) -> Dataset[Any]:
        return self._data.dataset

    @property
    def batch_size(self) -> int:
        return self._data.batch_size

    @property
    def batch_sampler(self) -> list[list[int]]:
        """The samples of each batch of the epoch."""
        return self._data.parts(self._current_epoch())

    @property
    def num_workers(self) -> int:
        return int(getattr(self._data.samples, "loader", {}).get("num_workers") or 0)

    drop_last, pin_memory = False, False


class ValidationBatches:
    """The loader that a Trainer iterates for each validation pass."""

    def __init__(self, data: ClientData):
        self._data = data

    def __len__(self) -> int:
        return self._data.validation_count()

    def __iter__(self) -> Iterator[Batch]:
        return self._data.validation_batches()

    @property
    def dataset(self) -> Dataset[Any]:
        return self._data.validation_dataset

    @property
    def batch_size(self) -> int:
        return self._data.batch_size


def dataset_of(samples: Samples, index: np.ndarray) -> Dataset[Any]:
    """Some of the samples as a Dataset."""
    return Subset(getattr(samples, "dataset", None) or _Rows(samples), index.tolist())


class _Rows(Dataset[Any]):
    """Samples that have no Dataset, one by one."""

    def __init__(self, samples: Samples):
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, i: int) -> Any:
        batch = self._samples.batch(np.array([i]))
        return pytree.tree_map(lambda t: t[0] if isinstance(t, torch.Tensor) else t, batch)
