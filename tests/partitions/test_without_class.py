"""Samples without a class, their labels below 0, in partitions, counts and accuracy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy

from fedlit.errors import InputError
from fedlit.evaluation.tally import Tally
from fedlit.partitions import Classes, Dirichlet, DirichletQuantity, Iid, Labelled, Natural, SortedShards, histogram
from fedlit.randomness import generator

CLASSES = np.repeat(np.arange(4), 50)
PARTITIONS = [Dirichlet(min_size=1), DirichletQuantity(min_size=1), Classes(2), SortedShards(2)]


@pytest.mark.parametrize("ignored", [-1, -100])
@pytest.mark.parametrize("partition", PARTITIONS, ids=lambda p: type(p).__name__)
def test_samples_with_a_class_are_divided_as_if_the_others_were_not_there(partition, ignored):
    labels = np.insert(CLASSES, np.arange(0, 200, 2), ignored)  # 100 samples without a class between the others
    has_class = labels >= 0
    shards = partition.train(Labelled(len(labels), labels), 5, generator(0))
    assert sorted(shards.indices.tolist()) == list(range(300))
    owner = np.empty(300, np.int64)
    owner[shards.indices] = shards.owners
    alone = partition.train(Labelled(200, CLASSES), 5, generator(0))
    expected = np.empty(200, np.int64)
    expected[alone.indices] = alone.owners
    assert owner[has_class].tolist() == expected.tolist()
    added = np.bincount(owner[~has_class], minlength=5)
    assert np.abs(added - 100 * alone.sizes / 200).max() < 1  # in proportion, rounded


@pytest.mark.parametrize("partition", [*PARTITIONS, Iid(), Natural()], ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("ignored", [-1, -100])
def test_test_samples_without_a_class_follow_the_sizes(partition, ignored):
    labels = np.where(np.arange(200) % 4 == 0, ignored, CLASSES)
    train = Labelled(200, labels, sites=np.arange(200) % 5)
    shards = partition.train(train, 5, generator(0))
    test = partition.test(Labelled(40, np.full(40, ignored)), train, shards, generator(1))
    assert sorted(test.indices.tolist()) == list(range(40))
    assert np.abs(test.sizes - 40 * shards.sizes / 200).max() <= 1


def test_counts_leave_out_samples_without_a_class():
    labels = np.array([0, -100, 1, -1, 1, 0])
    shards = Iid().train(Labelled(6, labels), 1, generator(0))
    assert histogram(shards, labels, 2).tolist() == [[2, 2]]
    two = Iid().train(Labelled(6, labels), 2, generator(0))
    expected = [[int((labels[two[k]] == c).sum()) for c in (0, 1)] for k in (0, 1)]
    assert histogram(two, labels, 2).tolist() == expected


@pytest.mark.parametrize("partition", PARTITIONS, ids=lambda p: type(p).__name__)
def test_a_set_without_any_class_is_refused_by_label_alone(partition):
    labels = np.full(30, -1)
    with pytest.raises(InputError, match="needs class labels"):
        partition.train(Labelled(30, labels), 3, generator(0))
    assert len(Iid().train(Labelled(30, labels), 3, generator(0))) == 3


@pytest.mark.parametrize("column", [False, True])
def test_accuracy_and_confusion_leave_them_out(column):
    targets = torch.tensor([0, -100, 1, -1, 1])
    outputs = torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 1, 0]), 2).float()
    metrics = {"micro": MulticlassAccuracy(num_classes=2, average="micro")}
    tally = Tally("Net", 2, metrics, classes=2, confusion=2)
    tally.add_outputs(np.array([0, 0, 0, 1, 1]), outputs, targets[:, None] if column else targets)
    measured = tally.measured()
    for name in ("accuracy", "micro"):
        assert [part[name] for part in measured.totals] == [(2, 2), (0, 1)]
    assert measured.confusion.tolist() == [[1, 0], [1, 1]]
