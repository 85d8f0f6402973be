"""From a user's data set, `data._target_=mine.MyData`, to a DataSource."""

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
_LIGHTNING_HOOKS = ("lightning.pytorch.core.hooks", "pytorch_lightning.core.hooks")  # modules of hooks not overridden


def adopt(data: Any) -> DataSource:
    """A user's data as a DataSource.

    The attributes `classes` (a number or names), `input_shape`, `train_sites` and `test_sites` are used if they exist.

    Args:
        data: one of
            a DataSource;
            a LightningDataModule: the data set of its train loader is cut into shards and keeps the loader's
            `collate_fn`, workers and pinning. The test set is that of its test loader, else of its validation loader;
            an object with `train` and `test`, which are map-style Datasets or methods that return them.

    Raises:
        InputError: `data` is none of these, or its loaders cannot be cut into shards.
    """
    if isinstance(data, DataSource):
        return data
    name = type(data).__name__
    if hasattr(data, "train_dataloader") and hasattr(data, "setup"):
        train, test = _samples_of_module(data, name)
    elif hasattr(data, "train") and hasattr(data, "test"):
        train, test = (_samples_of_dataset(_dataset_of(data, part), f"{name}.{part}") for part in ("train", "test"))
    else:
        absent = [part for part in ("train", "test") if not hasattr(data, part)]
        raise InputError(
            f"data: {name} has no {' and no '.join(absent)}; it must be a LightningDataModule, or have two Datasets "
            "`train` and `test`."
        )
    for part, samples in (("training", train), ("test", test)):
        if not len(samples):
            raise InputError(f"data: the {part} set of {name} is empty; it needs at least one sample.")
    classes, names = _classes(data, train, test)
    shape = getattr(data, "input_shape", None)
    shape = _input_shape(train) if shape is None else tuple(shape)
    source = DataSource(name, train, test, classes, shape, label_names=names)
    _set_sites(source, data, name)
    return source


def _samples_of_module(data: Any, name: str) -> tuple[Samples, Samples]:
    for hook in ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"):
        if _overrides(data, hook):
            raise InputError(f"data: {name} overrides {hook}, which clients do not call; override it in the model.")
    data.prepare_data()
    data.setup("fit")
    train = _samples_of_loader(data.train_dataloader(), f"{name}.train_dataloader")
    for hook, stage in (("test_dataloader", "test"), ("val_dataloader", "validate")):
        if _overrides(data, hook):
            data.setup(stage)
            loader = getattr(data, hook)()
            if loader is not None and not (isinstance(loader, list | tuple | Mapping) and not loader):
                return train, _samples_of_loader(loader, f"{name}.{hook}")
    raise InputError(f"data: {name} has neither a test nor a validation loader; give it a test_dataloader.")


def _overrides(data: Any, hook: str) -> bool:
    return getattr(getattr(data, hook, None), "__module__", _LIGHTNING_HOOKS[0]) not in _LIGHTNING_HOOKS


def _samples_of_loader(loader: Any, where: str) -> Samples:
    if isinstance(loader, list | tuple) and len(loader) == 1:
        loader = loader[0]
    if isinstance(loader, Mapping) and len(loader) == 1:
        loader = next(iter(loader.values()))
    if not isinstance(loader, DataLoader):
        returned = "several loaders" if isinstance(loader, list | tuple | Mapping) else f"a {type(loader).__name__}"
        raise InputError(f"data: {where} returns {returned}; a federation needs one torch DataLoader.")
    _refuse_streams(loader.dataset, where)
    if loader.batch_sampler is None:
        raise InputError(
            f"data: the loader of {where} has batch_size=None, so that its samples are batches; set a batch size."
        )
    sampler = getattr(loader.batch_sampler, "sampler", loader.batch_sampler)
    dataset = loader.dataset
    if isinstance(sampler, SubsetRandomSampler):
        dataset = Subset(dataset, [int(i) for i in sampler.indices])
    elif not isinstance(sampler, SequentialSampler | RandomSampler):
        _log.warning("%s: its %s is not used, because fedlit forms the batches.", where, type(sampler).__name__)
    if loader.collate_fn is default_collate:
        samples = _in_memory(dataset)
        if samples is not None:
            return samples
    return LoadedSamples.of(loader, dataset)


def _samples_of_dataset(dataset: Any, where: str) -> Samples:
    if isinstance(dataset, Samples):
        return dataset
    _refuse_streams(dataset, where)
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise InputError(f"data: {where} is a {type(dataset).__name__}, not a Dataset with __len__ and __getitem__.")
    return _in_memory(dataset) or LoadedSamples(dataset)


def _refuse_streams(dataset: Any, where: str) -> None:
    if isinstance(dataset, IterableDataset):
        raise InputError(
            f"data: {where} reads an IterableDataset, which cannot be cut into shards; "
            "use a Dataset with __len__ and __getitem__."
        )


def _dataset_of(data: Any, part: str) -> Any:
    """The attribute `part`, or its return value if it is a method."""
    dataset = getattr(data, part)
    is_method = callable(dataset) and not isinstance(dataset, Samples) and not hasattr(dataset, "__getitem__")
    return dataset() if is_method else dataset


def _in_memory(dataset: Dataset[Any]) -> TensorSamples | None:
    """The tensors of a TensorDataset or of its Subset; None for any other Dataset."""
    if type(dataset) is TensorDataset:
        return TensorSamples(*dataset.tensors)
    if type(dataset) is Subset and (samples := _in_memory(dataset.dataset)) is not None:
        index = torch.as_tensor(np.asarray(dataset.indices, dtype=np.int64))
        return TensorSamples(*(tensor[index] for tensor in samples.tensors))
    return None


def _classes(data: Any, train: Samples, test: Samples) -> tuple[int | None, list[str] | None]:
    """The number of classes and their names, from an attribute `classes` or else from the labels."""
    classes = getattr(data, "classes", None)
    if classes is None:
        dataset = getattr(train, "dataset", None)
        while isinstance(dataset, Subset):
            dataset = dataset.dataset
        classes = getattr(dataset, "classes", None)  # torchvision's data sets list the names
    if isinstance(classes, int | np.integer):
        return int(classes), None
    if isinstance(classes, list | tuple) and classes:
        return len(classes), [str(name) for name in classes]
    labels = train.labels()
    if labels is None:
        return None, None
    highest = int(labels.max())
    if isinstance(test, TensorSamples) or known_labels(getattr(test, "dataset", None)) is not None:  # type: ignore[arg-type]
        test_labels = test.labels()
        highest = highest if test_labels is None else max(highest, int(test_labels.max()))
    return highest + 1, None


def _input_shape(samples: Samples) -> tuple[int, ...] | None:
    batch = samples.batch(np.zeros(1, dtype=np.int64))
    inputs = batch[0] if isinstance(batch, tuple | list) and batch else batch
    return tuple(inputs.shape[1:]) if isinstance(inputs, Tensor) else None


def _set_sites(source: DataSource, data: Any, name: str) -> None:
    sites = getattr(data, "train_sites", None), getattr(data, "test_sites", None)
    if sites[0] is None:
        return
    sizes = len(source.train), len(source.test)
    if sites[1] is None or (len(sites[0]), len(sites[1])) != sizes:
        raise InputError(f"data: {name} needs {sizes[0]} train_sites and {sizes[1]} test_sites, one for each sample.")
    source.train_sites, source.test_sites = numbered(np.asarray(sites[0]), np.asarray(sites[1]))
