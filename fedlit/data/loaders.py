"""From a user's DataLoader to its Dataset and to Samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
)

from fedlit.data.loaded import LoadedSamples
from fedlit.data.samples import Samples, TensorSamples
from fedlit.data.subsets import check_indices, check_subsets
from fedlit.errors import InputError


def only_loader(returned: Any, where: str) -> DataLoader[Any]:
    """The DataLoader that a hook of a data module returned, by itself or as the only one in a list or dict.

    Raises:
        InputError: there is no DataLoader or several, or it gives no batches of a map-style Dataset.
    """
    loader = returned
    if isinstance(loader, list | tuple) and len(loader) == 1:
        loader = loader[0]
    if isinstance(loader, Mapping) and len(loader) == 1:
        loader = next(iter(loader.values()))
    if not isinstance(loader, DataLoader):
        kind = "several loaders" if isinstance(loader, list | tuple | Mapping) else f"a {type(loader).__name__}"
        raise InputError(f"data: {where} returns {kind}; a federation needs one torch DataLoader.")
    refuse_streams(loader.dataset, where)
    if not hasattr(loader.dataset, "__len__"):
        raise InputError(
            f"data: {where} reads a {type(loader.dataset).__name__} without a length, which cannot be cut into shards; "
            "give it a method __len__."
        )
    if loader.batch_sampler is None:
        raise InputError(
            f"data: the loader of {where} has batch_size=None, so that its samples are batches; set a batch size."
        )
    return loader


def sampler_of(loader: DataLoader[Any]) -> Any:
    """The sampler that chooses a loader's samples: its `batch_sampler` if it is of another class than torch's."""
    return getattr(loader.batch_sampler, "sampler", loader.batch_sampler)


def dataset_of(loader: DataLoader[Any], where: str) -> Dataset[Any]:
    """The samples of a loader: its Dataset, or those that a SubsetRandomSampler names."""
    sampler, dataset = sampler_of(loader), loader.dataset
    if isinstance(sampler, SubsetRandomSampler):
        size = len(dataset)  # type: ignore[arg-type]
        dataset = Subset(dataset, check_indices(sampler.indices, size, f"the sampler of {where}").tolist())
    check_subsets(dataset, where)
    return dataset


def samples_of_loader(loader: DataLoader[Any], dataset: Dataset[Any]) -> Samples:
    """The samples of `dataset` as the loader forms batches of them."""
    samples = in_memory(dataset) if loader.collate_fn is default_collate else None
    return LoadedSamples.of(loader, dataset) if samples is None else samples


def refuse_streams(dataset: Any, where: str) -> None:
    """InputError for an IterableDataset."""
    if isinstance(dataset, IterableDataset):
        raise InputError(
            f"data: {where} reads an IterableDataset, which cannot be cut into shards; "
            "use a Dataset with __len__ and __getitem__."
        )


def in_memory(dataset: Dataset[Any]) -> TensorSamples | None:
    """The tensors of a TensorDataset or of its Subset; None for any other Dataset."""
    if type(dataset) is TensorDataset:
        return TensorSamples(*dataset.tensors)
    if type(dataset) is Subset and (samples := in_memory(dataset.dataset)) is not None:
        index = torch.from_numpy(check_indices(dataset.indices, len(samples), "a Subset"))
        return TensorSamples(*(tensor[index] for tensor in samples.tensors))
    return None
