"""From a user's data to a DataSource."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from fedlit.data import DataSource, LoadedSamples, TensorSamples, adopt
from fedlit.errors import InputError

X, Y = torch.randn(9, 3, 4), torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0])


class Lines(Dataset[Any]):
    """Sentences of unequal length, with a label."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, i: int) -> tuple[list[int], int]:
        return list(range(i + 1)), i % 2


def padded(rows: list[tuple[list[int], int]]) -> dict[str, torch.Tensor]:
    longest = max(len(tokens) for tokens, _ in rows)
    tokens = [t + [0] * (longest - len(t)) for t, _ in rows]
    return {"tokens": torch.tensor(tokens), "label": torch.tensor([label for _, label in rows])}


class Module(LightningDataModule):
    """Records its calls; the test gives its loaders."""

    def __init__(self, train: Any, test: Any):
        super().__init__()
        self.calls: list[str] = []
        self._given = train, test

    def prepare_data(self) -> None:
        self.calls.append("prepare")

    def setup(self, stage: str) -> None:
        self.calls.append(stage)
        self.ready = self._given

    def train_dataloader(self) -> Any:
        self.calls.append("train")
        return self.ready[0]

    def test_dataloader(self) -> Any:
        self.calls.append("test loader")
        return self.ready[1]


def loader(n: int = 9, **settings: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(X[:n], Y[:n]), batch_size=4, **settings)


def test_a_data_source_does_not_change() -> None:
    source = DataSource("mine", TensorSamples(X, Y), TensorSamples(X, Y))
    assert adopt(source) is source


def test_all_stages_of_a_lightning_data_module_are_set_up_before_both_loaders_are_taken() -> None:
    module = Module(loader(shuffle=True), loader(3))
    source = adopt(module)
    assert module.calls == ["prepare", "fit", "test", "train", "test loader"]
    assert isinstance(source.train, TensorSamples) and (len(source.train), len(source.test)) == (9, 3)
    assert source.classes == 4 and source.input_shape == (3, 4) and source.name == "Module"
    x, y = source.train.batch(np.array([8, 1]))
    assert torch.equal(x, X[[8, 1]]) and y.tolist() == [0, 1]


def test_collate_function_and_workers_of_a_loader_are_kept() -> None:
    lines = DataLoader(Lines(), batch_size=2, collate_fn=padded, num_workers=1)
    source = adopt(Module(lines, DataLoader(Lines(), collate_fn=padded)))
    assert isinstance(source.train, LoadedSamples) and source.train.loader["num_workers"] == 1
    (batch,) = source.train.batches([np.array([4, 0, 1])])
    assert batch["tokens"].tolist() == [[0, 1, 2, 3, 4], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]]
    assert source.train.labels().tolist() == [0, 1, 0, 1, 0]
    assert source.classes == 2 and source.input_shape is None


def test_a_collate_function_over_tensors_is_kept() -> None:
    def doubled(rows: list[Any]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.stack([x for x, _ in rows]) * 2, torch.stack([y for _, y in rows])

    source = adopt(Module(loader(collate_fn=doubled), loader()))
    assert torch.equal(source.train.batch(np.array([2]))[0], X[[2]] * 2)


def test_the_validation_loader_replaces_a_missing_test_loader() -> None:
    class Validated(LightningDataModule):
        def setup(self, stage: str) -> None:
            if stage == "fit":
                self.val = loader(4)

        def train_dataloader(self) -> Any:
            return loader()

        def val_dataloader(self) -> Any:
            return self.val

    assert len(adopt(Validated()).test) == 4


def test_a_module_from_datasets_is_accepted() -> None:
    parts = TensorDataset(X, Y), TensorDataset(X[:2], Y[:2])
    source = adopt(LightningDataModule.from_datasets(parts[0], test_dataset=parts[1], batch_size=4))
    assert (len(source.train), len(source.test)) == (9, 2)
    with pytest.raises(InputError, match="neither a test nor a validation loader"):
        adopt(LightningDataModule.from_datasets(parts[0]))


def test_one_loader_in_a_list_is_accepted_and_several_are_refused() -> None:
    assert len(adopt(Module([loader()], {"a": loader(2)})).test) == 2
    for several in ([loader(), loader()], {"a": loader(), "b": loader()}):
        with pytest.raises(InputError, match="Module.train_dataloader returns several loaders"):
            adopt(Module(several, loader()))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(zip(X, Y, strict=True))


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (DataLoader(Stream()), "IterableDataset, which cannot be cut into shards"),
        (DataLoader(TensorDataset(X, Y), batch_size=None), "batch_size=None"),
        (iter([(X, Y)]), "returns a list_iterator"),
        (DataLoader(Subset(TensorDataset(X, Y), [])), "the training set of Module is empty"),
    ],
)
def test_loaders_that_cannot_be_cut_are_refused(train: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        adopt(Module(train, loader()))


def test_a_subset_sampler_becomes_a_subset() -> None:
    source = adopt(Module(loader(sampler=SubsetRandomSampler([7, 2])), loader()))
    assert torch.equal(source.train.batch(np.arange(2))[0], X[[7, 2]])


def test_a_weighted_sampler_is_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        source = adopt(Module(loader(sampler=WeightedRandomSampler([1.0] * 9, 3)), loader()))
    assert len(source.train) == 9 and "WeightedRandomSampler is not used" in caplog.text


def test_a_hook_on_batches_is_refused() -> None:
    class Hooked(Module):
        def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
            return batch

    with pytest.raises(InputError, match="Hooked overrides on_after_batch_transfer"):
        adopt(Hooked(loader(), loader()))


class Two:
    """An object with two data sets and further attributes."""

    def __init__(self, train: Any, test: Any, **more: Any):
        self.train, self.test = train, test
        self.__dict__.update(more)


def test_an_object_with_two_datasets_as_attributes_or_methods() -> None:
    tensors = TensorDataset(X, Y)
    for data in (Two(tensors, Subset(tensors, [3, 1])), Two(lambda: tensors, lambda: Subset(tensors, [3, 1]))):
        source = adopt(data)
        assert isinstance(source.test, TensorSamples) and torch.equal(source.test.batch(np.arange(2))[0], X[[3, 1]])
        assert source.classes == 4 and source.name == "Two"


def test_attributes_of_the_object_are_used() -> None:
    sites = {"train_sites": list("abcabcabc"), "test_sites": list("ab")}
    data = Two(TensorDataset(X, Y), TensorDataset(X[:2], Y[:2]), classes=list("pqrstu"), input_shape=[12], **sites)
    source = adopt(data)
    assert source.classes == 6 and source.label_names == list("pqrstu") and source.input_shape == (12,)
    assert source.train_sites.tolist() == [0, 1, 2] * 3 and source.test_sites.tolist() == [0, 1]
    data.test_sites = ["a"]
    with pytest.raises(InputError, match="9 train_sites and 2 test_sites"):
        adopt(data)


def test_a_class_that_only_the_test_set_has_is_counted() -> None:
    assert adopt(Two(TensorDataset(X, Y), TensorDataset(X[:1], torch.tensor([6])))).classes == 7


def test_a_regression_has_no_classes() -> None:
    source = adopt(Two(TensorDataset(X, Y.float()), TensorDataset(X, Y.float())))
    assert source.classes is None and source.input_shape == (3, 4)


def test_given_classes_avoid_reading_the_labels() -> None:
    class Costly(Lines):
        read = 0

        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            Costly.read += 1
            return torch.zeros(2), i % 2

    source = adopt(Two(Costly(), Costly(), classes=2))
    assert source.classes == 2 and Costly.read == 1  # for the shape
    assert source.train.labels().tolist() == [0, 1, 0, 1, 0]


def test_random_transforms_do_not_change_the_global_generator() -> None:
    class Random(Lines):
        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            return torch.rand(2), i % 2

    state = torch.get_rng_state()
    adopt(Two(Random(), Random()))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("data", [object(), Two(3, 4), Two(TensorDataset(X, Y), Stream())])
def test_other_objects_are_refused(data: Any) -> None:
    with pytest.raises(InputError, match="data: "):
        adopt(data)


def test_a_missing_part_is_named() -> None:
    data = type("Half", (), {"train": TensorDataset(X, Y)})()
    with pytest.raises(InputError, match="data: Half has no test; it must be a LightningDataModule, or have two"):
        adopt(data)


class Both(dict[str, Any]):
    """A mapping with attributes: these count, as they did before mappings were read."""

    train = test = TensorDataset(X, Y)


@pytest.mark.parametrize(
    ("data", "classes"),
    [
        ({"train": TensorDataset(X, Y), "test": TensorDataset(X[:5], Y[:5])}, 4),
        ({"train": lambda: TensorDataset(X, Y), "test": lambda: TensorDataset(X[:5], Y[:5])}, 4),
        ({"train": TensorDataset(X, Y), "test": TensorDataset(X[:5], Y[:5]), "classes": ["a", "b", "c", "d", "e"]}, 5),
        (Both(train=1), 4),
    ],
)
def test_a_mapping_with_train_and_test(data: Any, classes: int) -> None:
    source = adopt(data)
    assert (len(source.train), source.classes) == (9, classes)
    assert source.train.labels().tolist() == Y.tolist()


def test_a_mapping_without_test_is_refused_by_what_it_lacks() -> None:
    with pytest.raises(InputError, match="data: dict has no test; it must .*, as attributes or keys"):
        adopt({"train": TensorDataset(X, Y), "validation": TensorDataset(X, Y)})


@pytest.mark.parametrize("target", [0, 1, "label"])
def test_a_target_is_not_ignored_for_a_data_source(target: Any) -> None:
    samples = TensorSamples(X, Y)
    source = DataSource("mine", samples, samples, 4)
    assert adopt(source) is source
    with pytest.raises(InputError, match=f"data.target={target}: mine is a DataSource, .*; leave it out"):
        adopt(source, target)
