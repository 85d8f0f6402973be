"""From a user's data set, `data._target_=mine.MyData`, to a DataSource."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Subset

from fedlit.data.data_module import loaders_of, overrides
from fedlit.data.labels import highest_label
from fedlit.data.loaded import LoadedSamples
from fedlit.data.loader_settings import settings_note
from fedlit.data.loaders import in_memory, refuse_streams, samples_of_loader
from fedlit.data.samples import Samples
from fedlit.data.source import DataSource, numbered
from fedlit.data.subsets import check_subsets, shared_samples
from fedlit.data.target_search import find_targets, trust_or_read
from fedlit.data.targets import Part
from fedlit.data.transform import Batch
from fedlit.errors import InputError
from fedlit.plurals import counted

_log = logging.getLogger(__name__)


class _Set(NamedTuple):
    """The training or the test set of a user."""

    dataset: Any  # as the user gave it: Subsets are compared
    samples: Samples
    where: str  # for messages


def adopt(data: Any, target: Part | None = None, batch_size: int | None = None) -> DataSource:
    """A user's data as a DataSource.

    The attributes `classes` (a number or names), `input_shape`, `train_sites` and `test_sites` are used if they exist.

    Args:
        data: one of
            a DataSource;
            a LightningDataModule: the data set of its train loader is cut into shards and keeps the loader's
            `collate_fn`, workers and pinning. The test set is that of its test loader, else of its validation loader;
            an object with `train` and `test`, which are map-style Datasets or methods that return them;
            a mapping with these two keys, such as a `DatasetDict`.
        target: the part of a batch that holds the targets, a number or a key; None: the second part of a pair, or the
            entry of a dict with a usual name. In longer tuples it has to be known.
        batch_size: the run's, to warn of loaders with another one.

    Raises:
        InputError: `data` is none of these, or its loaders cannot be cut into shards, or its labels are not known.
    """
    if isinstance(data, DataSource):
        if target is not None:
            raise InputError(
                f"data.target={target}: {data.name} is a DataSource, whose samples name their targets themselves "
                "(Samples.target); leave it out."
            )
        return data
    name = type(data).__name__
    if isinstance(data, Mapping) and not hasattr(data, "train"):
        data = SimpleNamespace(**{str(key): value for key, value in data.items()})
    if hasattr(data, "train_dataloader") and hasattr(data, "setup"):
        train, test = _sets_of_module(data, name, batch_size)
    elif hasattr(data, "train") and hasattr(data, "test"):
        train, test = (_set_of(_dataset_of(data, part), f"{name}.{part}") for part in ("train", "test"))
    else:
        absent = [part for part in ("train", "test") if not hasattr(data, part)]
        raise InputError(
            f"data: {name} has no {' and no '.join(absent)}; it must be a LightningDataModule, or have two Datasets "
            "`train` and `test`, as attributes or keys."
        )
    for part, given in (("training", train), ("test", test)):
        if not len(given.samples):
            raise InputError(f"data: the {part} set of {name} is empty; it needs at least one sample.")
    _warn_of_shared(train, test)
    batch = find_targets(train.samples, target, train.where)
    test.samples.target = train.samples.target
    for given in (train, test):
        trust_or_read(given.samples, given.where)
    classes, names = _classes(data, train.samples, test.samples)
    shape = getattr(data, "input_shape", None)
    shape = _input_shape(batch) if shape is None else tuple(shape)
    source = DataSource(name, train.samples, test.samples, classes, shape, label_names=names, users=data)
    _set_sites(source, data, name)
    return source


def count_classes(data: DataSource) -> None:
    """Raise the number of classes to that of the labels, if the data name fewer; this reads the labels."""
    highest = highest_label(data.train.labels(), data.test.labels())
    if data.classes is None or highest is None or highest < data.classes:
        return
    _log.warning(
        "data: %s names %s, and a label is %d; %d are counted.",
        data.name,
        counted(data.classes, "class", "classes"),
        highest,
        highest + 1,
    )
    if data.label_names is not None:
        data.label_names = [*data.label_names, *map(str, range(data.classes, highest + 1))]
    data.classes = highest + 1


def _sets_of_module(data: Any, name: str, batch_size: int | None) -> tuple[_Set, _Set]:
    train, test = loaders_of(data, name)
    sets = [_Set(part.dataset, samples_of_loader(part.loader, part.dataset), part.where) for part in (train, test)]
    notes = [
        settings_note(part.loader, part.where, given.samples.in_memory, size)
        for part, given, size in zip((train, test), sets, (batch_size, None), strict=True)
    ]
    texts = [note.text for note in notes if note.text]
    has_unused_validation = not test.where.endswith("val_dataloader") and overrides(data, "val_dataloader")
    if has_unused_validation:
        texts.append(
            f"{name}.val_dataloader is not used; evaluation.client_validation cuts validation data from the shards."
        )
    if texts:
        is_warning = has_unused_validation or any(note.changes_numbers for note in notes)
        _log.log(logging.WARNING if is_warning else logging.INFO, "%s", " ".join(texts))
    return sets[0], sets[1]


def _set_of(dataset: Any, where: str) -> _Set:
    if isinstance(dataset, Samples):
        return _Set(dataset, dataset, where)
    refuse_streams(dataset, where)
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise InputError(f"data: {where} is a {type(dataset).__name__}, not a Dataset with __len__ and __getitem__.")
    check_subsets(dataset, where)
    return _Set(dataset, in_memory(dataset) or LoadedSamples(dataset), where)


def _dataset_of(data: Any, part: str) -> Any:
    """The attribute `part`, or its return value if it is a method."""
    dataset = getattr(data, part)
    is_method = callable(dataset) and not isinstance(dataset, Samples) and not hasattr(dataset, "__getitem__")
    return dataset() if is_method else dataset


def _warn_of_shared(train: _Set, test: _Set) -> None:
    shared = shared_samples(train.dataset, test.dataset)
    if shared:
        _log.warning(
            "data: %d of the %s of %s %s, so test numbers are not of unseen data.",
            shared,
            counted(len(test.dataset), "test sample"),
            test.where,
            "is a training sample too" if shared == 1 else "are training samples too",
        )


def _classes(data: Any, train: Samples, test: Samples) -> tuple[int | None, list[str] | None]:
    """The number of classes and their names, from an attribute `classes` or else from the labels of both sets."""
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
    highest = None if labels is None else highest_label(labels, test.labels())
    return None if highest is None else highest + 1, None


def _input_shape(batch: Batch) -> tuple[int, ...] | None:
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
