"""What is handed to another process comes out as it went in, and stays apart from what is handed over later."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest
import torch

from fedlit.engines.channel import Channel
from fedlit.engines.serialization import Parcel, pack
from fedlit.model_vectors import Model

BIG = 50_000


def value(n: int):
    strided = torch.arange(6 * n, dtype=torch.float64).view(n, 6)[:, 1]
    return {
        "model": Model(torch.arange(n, dtype=torch.float32), torch.empty(0)),
        "strided": strided,
        "bool": strided > 7,
        "half": strided.to(torch.bfloat16),
        "scalar": torch.tensor(3, dtype=torch.int64),
        "none": torch.empty(0, 4),
        "array": np.arange(n, dtype=np.int64)[::-1].copy(),
        "plain": [1, "two", None, {"three": 3.0}],
    }


def leaves(tree):
    if isinstance(tree, Model):
        return [tree.weights, tree.statistics]
    if isinstance(tree, dict):
        return [leaf for key in tree for leaf in leaves(tree[key])]
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, list) else [tree]


def same(one, other) -> bool:
    pairs = list(zip(leaves(one), leaves(other), strict=True))
    return all(
        (a.dtype, a.shape) == (b.dtype, b.shape) and bool((a == b).all()) if hasattr(a, "dtype") else a == b
        for a, b in pairs
    )


@pytest.mark.parametrize("n", [3, BIG])
@pytest.mark.parametrize("read", [Parcel.copied, Parcel.shared])
def test_all_kinds_come_out_as_they_went_in(n, read):
    sent = value(n)
    with pack(sent) as parcel:
        found = read(parcel)
    assert same(sent, found)
    for leaf in leaves(found):
        if torch.is_tensor(leaf) and leaf.numel():
            assert leaf.data_ptr() % 64 == 0, "aligned as torch's own: the bits of a product may depend on it"
        if isinstance(leaf, np.ndarray):
            leaf[0] = 1


def test_what_a_reader_writes_is_its_own():
    with pack(torch.zeros(BIG)) as parcel:
        one, other, copy = parcel.shared(), parcel.shared(), parcel.copied()
        one += 1
        copy += 2
        assert other.sum() == 0 and parcel.shared().sum() == 0


def test_a_row_does_not_bring_its_stack_along():
    stack = torch.zeros(1000, BIG // 10)
    with pack([stack[3], stack[:, 0]]) as parcel:
        assert parcel.size < 5 * (BIG // 10 + 1000)


def test_no_two_names_for_memory_and_none_in_a_folder():
    before = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
    with pack(torch.zeros(BIG)):
        assert not os.path.isdir("/dev/shm") or set(os.listdir("/dev/shm")) == before


def test_a_channel_keeps_what_was_read_apart_from_what_is_put_later():
    here, there = map(Channel, multiprocessing.Pipe())
    found = []
    for number, n in enumerate([3, BIG, 2 * BIG, 10, BIG]):
        here.put("numbers", torch.full((n,), float(number)))
        found.append(there.receive()[1].copied())
    assert [(len(t), t.unique().tolist()) for t in found] == [
        (3, [0.0]),
        (BIG, [1.0]),
        (2 * BIG, [2.0]),
        (10, [3.0]),
        (BIG, [4.0]),
    ]
    with pack(torch.ones(BIG)) as parcel:
        here.give("ones", parcel)
    kind, given = there.receive()
    here.put("zeros", torch.zeros(BIG))
    assert kind == "ones" and given.shared().sum() == BIG
    given.close()
    here.close()
    with pytest.raises(EOFError):
        there.receive() and there.receive()
    there.close()
