"""Data modules that split, draw or replace their samples at each call of a hook."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, random_split

from fedlit.data import Samples, adopt
from fedlit.errors import InputError

N = 60
ALL = TensorDataset(torch.arange(N).float()[:, None], torch.arange(N) % 3)


class Base(LightningDataModule):
    """Numbered samples; `split` divides them."""

    def setup(self, stage: str) -> None:
        self.parts = self.split()

    def split(self) -> Any:
        return random_split(ALL, [40, 20])

    def train_dataloader(self) -> Any:
        return DataLoader(self.parts[0], shuffle=True)

    def test_dataloader(self) -> Any:
        return DataLoader(self.parts[1])


class Numpy(Base):
    def split(self) -> Any:
        order = np.random.permutation(N)
        return Subset(ALL, order[:40].tolist()), Subset(ALL, order[40:].tolist())


class Unseedable(Base):
    def split(self) -> Any:
        order = np.random.default_rng().permutation(N)
        return TensorDataset(*ALL[order[:40]]), TensorDataset(*ALL[order[40:]])


class AsMap(Dataset[Any]):
    """The same samples as an object of another class."""

    def __init__(self, inner: Any):
        self.inner = inner

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, i: int) -> Any:
        return self.inner[i]


class Wrapped(Base):
    def split(self) -> Any:
        return [AsMap(part) for part in super().split()]


class EqualSizes(Unseedable):
    def split(self) -> Any:
        order = np.random.default_rng().permutation(N)
        return TensorDataset(*ALL[order[:30]]), TensorDataset(*ALL[order[30:]])


class Validated(Base):
    test_dataloader = None  # type: ignore[assignment]

    def val_dataloader(self) -> Any:
        return DataLoader(self.parts[1])


class NoTestLoader(Validated):
    def test_dataloader(self) -> Any:  # type: ignore[override]
        return []


def numbers(samples: Samples) -> list[int]:
    return samples.batch(np.arange(len(samples)))[0].flatten().int().tolist()


@pytest.mark.parametrize("kind", [Base, Numpy, Unseedable, Wrapped, EqualSizes, NoTestLoader])
def test_no_test_sample_of_a_module_that_splits_at_each_call_is_trained_on(kind: type[Base]) -> None:
    for _ in range(3):
        source = adopt(kind())
        assert sorted(numbers(source.train) + numbers(source.test)) == list(range(N))


class OneName(Base):
    """The samples of each stage under one name: Lightning takes the training loader before the test stage."""

    def setup(self, stage: str) -> None:
        self.samples = Subset(ALL, range(40) if stage == "fit" else range(40, N))

    def train_dataloader(self) -> Any:
        return DataLoader(self.samples)

    test_dataloader = train_dataloader


class OneNameNewObjects(OneName):
    def train_dataloader(self) -> Any:
        return DataLoader(AsMap(self.samples))

    def test_dataloader(self) -> Any:
        return DataLoader(AsMap(self.samples))


class OneNameEqualSizes(OneNameNewObjects):
    def setup(self, stage: str) -> None:
        self.samples = Subset(ALL, range(20, 40) if stage == "fit" else range(40, N))


class Forgets(Base):
    """The training set is dropped when another stage is set up."""

    def setup(self, stage: str) -> None:
        self.parts = (Subset(ALL, range(40)), None) if stage == "fit" else (None, Subset(ALL, range(40, N)))


class NothingToTrain(Forgets):
    def train_dataloader(self) -> Any:
        return [] if self.parts[0] is None else DataLoader(self.parts[0])


@pytest.mark.parametrize("kind", [OneName, OneNameNewObjects, OneNameEqualSizes, Forgets, NothingToTrain])
def test_training_samples_are_those_of_the_fit_stage(kind: type[Base]) -> None:
    source = adopt(kind())
    first = 20 if kind is OneNameEqualSizes else 0
    assert numbers(source.train) == list(range(first, 40)) and numbers(source.test) == list(range(40, N))


class ByStage(Base):
    """Draws each stage's samples when it is set up."""

    def setup(self, stage: str) -> None:
        drawn = TensorDataset(torch.randn(30, 1), torch.arange(30) % 3)
        if stage == "fit":
            self.fitted = drawn
        else:
            self.parts = (self.fitted, drawn)


class ByMethod:
    def train(self) -> Any:
        return TensorDataset(torch.randn(30, 1), torch.arange(30) % 3)

    test = train


@pytest.mark.parametrize("make", [ByStage, ByMethod])
def test_samples_that_are_drawn_for_each_stage_differ(make: Any) -> None:
    """The generators run on from hook to hook: seeding them before each would give the test set the training draws."""
    source = adopt(make())
    x, y = (samples.batch(np.arange(30))[0] for samples in (source.train, source.test))
    assert not torch.isin(x, y).any()


def test_a_split_in_the_loaders_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    class InLoaders(Base):
        def setup(self, stage: str) -> None:
            self.both = TensorDataset(*ALL.tensors)

        def train_dataloader(self) -> Any:
            return DataLoader(random_split(self.both, [40, 20])[0])

        def test_dataloader(self) -> Any:
            return DataLoader(random_split(self.both, [40, 20])[1])

    source = adopt(InLoaders())
    shared = len(set(numbers(source.train)) & set(numbers(source.test)))
    assert (
        shared and f"{shared} of the 20 test samples of InLoaders.test_dataloader are training samples" in caplog.text
    )


def test_testing_on_the_training_set_is_reported_and_done(caplog: pytest.LogCaptureFixture) -> None:
    class Overfit(Base):
        def split(self) -> Any:
            return ALL, ALL

    source = adopt(Overfit())
    assert numbers(source.train) == numbers(source.test) == list(range(N))
    assert "60 of the 60 test samples" in caplog.text


class NoStage(Base):
    def setup(self) -> None:  # type: ignore[override]
        super().setup("fit")


class NoStageDrawing(Base):
    """Each call splits the data again."""

    def setup(self) -> None:  # type: ignore[override]
        train, test = random_split(ALL, [40, 20])
        self.parts = train, test


class StageByName(Base):
    def setup(self, *, stage: str) -> None:
        super().setup(stage)


class StageWithDefault(Base):
    def setup(self, stage: str = "") -> None:
        super().setup(stage)


@pytest.mark.parametrize("kind", [NoStage, NoStageDrawing, StageByName, StageWithDefault])
def test_a_setup_may_take_no_stage_or_take_it_by_name(kind: Any) -> None:
    source = adopt(kind())
    assert sorted(numbers(source.train) + numbers(source.test)) == list(range(N))


def test_a_setup_with_other_arguments_is_refused() -> None:
    class Two(Base):
        def setup(self, stage: str, seed: int) -> None:  # type: ignore[override]
            raise AssertionError

    with pytest.raises(InputError, match=r"Two.setup takes other arguments than a stage; write def setup"):
        adopt(Two())


class Endless:
    """A Dataset without a length."""

    def __getitem__(self, i: int) -> Any:
        return torch.zeros(1), 0


class NoLength(LightningDataModule):
    def train_dataloader(self) -> Any:
        return DataLoader(Endless())  # type: ignore[arg-type]

    test_dataloader = train_dataloader


def test_a_data_set_without_a_length_is_refused() -> None:
    with pytest.raises(InputError, match="NoLength.train_dataloader reads a Endless without a length"):
        adopt(NoLength())
