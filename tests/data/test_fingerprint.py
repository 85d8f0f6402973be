"""Fingerprints differ where data differ, and only there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.data import DataSource, LoadedSamples, TensorSamples
from fedlit.data.fingerprint import difference, fingerprint

X, Y = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)), torch.arange(50) % 3


def source(x: Any = X, y: Any = Y, **more: Any) -> DataSource:
    return DataSource("mine", TensorSamples(x, y), TensorSamples(X[:9], Y[:9]), **more)


CHANGES: dict[str, tuple[Callable[[], DataSource], str]] = {
    "one sample less": (lambda: source(X[1:], Y[1:]), "the training set has 49 samples, and had 50 when the run began"),
    "another order": (lambda: source(X.flip(0), Y.flip(0)), "the training set has other labels"),
    "other labels": (lambda: source(y=(Y + 1) % 3), "the training set has other labels"),
    "no labels": (lambda: source(y=Y.float()), "the training set has other labels"),
    "other inputs": (lambda: source(X + 1), "the training set has other samples"),
    "mirrored inputs": (lambda: source(X.flip(1)), "the training set has other samples"),
    "another test set": (lambda: replace(source(), test=TensorSamples(X[:8], Y[:8])), "the test set has 8"),
    "other sites": (lambda: source(train_sites=np.arange(50)), "the training set has other sites"),
}


@pytest.mark.parametrize(("make", "words"), CHANGES.values(), ids=CHANGES)
def test_other_data_are_recognised(make: Callable[[], DataSource], words: str) -> None:
    assert difference(fingerprint(source()), fingerprint(make())).startswith(words)


@pytest.mark.parametrize(
    "make", [source, lambda: source(X * (1 + 1e-6)), lambda: source(X.double()), lambda: source(y=Y[:, None])]
)
def test_the_same_data_rounded_or_in_another_type_are_the_same(make: Callable[[], DataSource]) -> None:
    assert difference(fingerprint(source()), fingerprint(make())) == ""


def test_samples_that_differ_at_each_reading_are_not_compared() -> None:
    class Drawn(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, i: int) -> Any:
            return np.random.default_rng().random(3), i % 2

    prints = [fingerprint(DataSource("mine", LoadedSamples(Drawn()), LoadedSamples(Drawn()))) for _ in range(2)]
    assert difference(*prints) == "" and prints[0]["train"]["labels"] is not None


@pytest.mark.parametrize("sample", ["text", {"words": ["a", "b"], "n": 3}, np.float32("nan"), torch.tensor(1j)])
def test_samples_of_any_type(sample: Any) -> None:
    class Any_(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, i: int) -> Any:
            return sample

    samples = LoadedSamples(Any_(), collate_fn=list)
    prints = [fingerprint(DataSource("mine", samples, samples)) for _ in range(2)]
    assert difference(*prints) == ""
