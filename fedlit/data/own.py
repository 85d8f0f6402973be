"""A data set of the user's own, `data._target_=mine.MyData`, as fedlit needs it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
)

from fedlit.data.labels import known_labels
from fedlit.data.loaded import LoadedSamples
from fedlit.data.samples import Samples, TensorSamples
from fedlit.data.source import DataSource, numbered
from fedlit.errors import InputError

_log = logging.getLogger(__name__)
_LIGHTNINGS = ("lightning.pytorch.core.hooks", "pytorch_lightning.core.hooks")  # a hook from here is not overridden


def adopt(own: Any) -> DataSource:
    """A user's data as a DataSource.

    Args:
        own: one of
            a DataSource;
            a LightningDataModule: the data set of its train loader is cut into shards, with the loader's own
            `collate_fn`, workers and pinning; the test set is that of its test loader, else of its validation loader;
            an object with `train` and `test`, map-style Datasets or methods that give them.
            Where it has them, `classes` (a number or names), `input_shape`, `train_sites` and `test_sites` are used.

    Raises:
        InputError: something else, or loaders that cannot be cut into shards.
    """
    if isinstance(own, DataSource):
        return own
    name = type(own).__name__
    if hasattr(own, "train_dataloader") and hasattr(own, "setup"):
        train, test = _of_module(own, name)
    elif hasattr(own, "train") and hasattr(own, "test"):
        train, test = (_of_dataset(_asked(own, part), f"{name}.{part}") for part in ("train", "test"))
    else:
        lacks = [part for part in ("train", "test") if not hasattr(own, part)]
        raise InputError(
            f"data: {name} has no {' and no '.join(lacks)}; it has to be a LightningDataModule, or have two Datasets "
            "`train` and `test`."
        )
    for part, samples in (("training", train), ("test", test)):
        if not len(samples):
            raise InputError(f"data: the {part} set of {name} is empty; it needs one sample at least.")
    classes, names = _classes(own, train, test)
    shape = getattr(own, "input_shape", None)
    shape = _input_shape(train) if shape is None else tuple(shape)
    source = DataSource(name, train, test, classes, shape, label_names=names)
    _take_sites(source, own, name)
    return source


def _of_module(own: Any, name: str) -> tuple[Samples, Samples]:
    for hook in ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"):
        if _overrides(own, hook):
            raise InputError(
                f"data: {name} overrides {hook}, which clients do not call; override it in the model instead."
            )
    own.prepare_data()
    own.setup("fit")
    train = _of_loader(own.train_dataloader(), f"{name}.train_dataloader")
    for hook, stage in (("test_dataloader", "test"), ("val_dataloader", "validate")):
        if _overrides(own, hook):
            own.setup(stage)
            loader = getattr(own, hook)()
            if loader is not None and not (isinstance(loader, list | tuple | Mapping) and not loader):
                return train, _of_loader(loader, f"{name}.{hook}")
    raise InputError(f"data: {name} has neither a test nor a validation loader; give it a test_dataloader.")


def _overrides(own: Any, hook: str) -> bool:
    return getattr(getattr(own, hook, None), "__module__", _LIGHTNINGS[0]) not in _LIGHTNINGS


def _of_loader(loader: Any, where: str) -> Samples:
    if isinstance(loader, list | tuple) and len(loader) == 1:
        loader = loader[0]
    if isinstance(loader, Mapping) and len(loader) == 1:
        loader = next(iter(loader.values()))
    if not isinstance(loader, DataLoader):
        many = "several loaders" if isinstance(loader, list | tuple | Mapping) else f"a {type(loader).__name__}"
        raise InputError(f"data: {where} gives {many}; a federation needs one torch DataLoader there.")
    _refuse_streams(loader.dataset, where)
    if loader.batch_sampler is None:
        raise InputError(
            f"data: the loader of {where} has batch_size=None, so its samples are batches; give it a batch size."
        )
    sampler = getattr(loader.batch_sampler, "sampler", loader.batch_sampler)
    dataset = loader.dataset
    if isinstance(sampler, SubsetRandomSampler):
        dataset = Subset(dataset, [int(i) for i in sampler.indices])
    elif not isinstance(sampler, SequentialSampler | RandomSampler):
        _log.warning("%s: its %s is not used; the federation makes the batches.", where, type(sampler).__name__)
    if loader.collate_fn is default_collate:
        held = _held(dataset)
        if held is not None:
            return held
    return LoadedSamples.of(loader, dataset)


def _of_dataset(dataset: Any, where: str) -> Samples:
    if isinstance(dataset, Samples):
        return dataset
    _refuse_streams(dataset, where)
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise InputError(f"data: {where} is a {type(dataset).__name__}, not a Dataset with __len__ and __getitem__.")
    return _held(dataset) or LoadedSamples(dataset)


def _refuse_streams(dataset: Any, where: str) -> None:
    if isinstance(dataset, IterableDataset):
        raise InputError(
            f"data: {where} reads an IterableDataset, which cannot be cut into shards; "
            "use a Dataset with __len__ and __getitem__."
        )


def _asked(own: Any, part: str) -> Any:
    found = getattr(own, part)
    return found if isinstance(found, Samples) or hasattr(found, "__getitem__") or not callable(found) else found()


def _held(dataset: Dataset[Any]) -> TensorSamples | None:
    """A TensorDataset's (or its Subset's) tensors; None for any other Dataset."""
    if type(dataset) is TensorDataset:
        return TensorSamples(*dataset.tensors)
    if type(dataset) is Subset and (whole := _held(dataset.dataset)) is not None:
        at = torch.as_tensor(np.asarray(dataset.indices, dtype=np.int64))
        return TensorSamples(*(t[at] for t in whole.tensors))
    return None


def _classes(own: Any, train: Samples, test: Samples) -> tuple[int | None, list[str] | None]:
    """The number of classes and their names; from the labels where the user does not say."""
    said = getattr(own, "classes", None)
    if said is None:
        dataset = getattr(train, "dataset", None)
        while isinstance(dataset, Subset):
            dataset = dataset.dataset
        said = getattr(dataset, "classes", None)  # torchvision's data sets have names there
    if isinstance(said, int | np.integer):
        return int(said), None
    if isinstance(said, list | tuple) and said:
        return len(said), [str(name) for name in said]
    labels = train.labels()
    if labels is None:
        return None, None
    highest = int(labels.max())
    if isinstance(test, TensorSamples) or known_labels(getattr(test, "dataset", None)) is not None:  # type: ignore[arg-type]
        others = test.labels()
        highest = highest if others is None else max(highest, int(others.max()))
    return highest + 1, None


def _input_shape(samples: Samples) -> tuple[int, ...] | None:
    batch = samples.batch(np.zeros(1, dtype=np.int64))
    inputs = batch[0] if isinstance(batch, tuple | list) and batch else batch
    return tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else None


def _take_sites(source: DataSource, own: Any, name: str) -> None:
    sites = getattr(own, "train_sites", None), getattr(own, "test_sites", None)
    if sites[0] is None:
        return
    sizes = len(source.train), len(source.test)
    if sites[1] is None or (len(sites[0]), len(sites[1])) != sizes:
        raise InputError(f"data: {name} needs train_sites and test_sites, {sizes[0]} and {sizes[1]} (one a sample).")
    source.train_sites, source.test_sites = numbered(np.asarray(sites[0]), np.asarray(sites[1]))
