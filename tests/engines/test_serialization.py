"""Values arrive in another process unchanged, and apart from values that are sent later."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import as_strided

from fedlit.engines.channel import Channel
from fedlit.engines.serialization import map_shared, pack, pack_arrays, unpack, unpack_arrays
from fedlit.model_vectors import Model

LARGE = 50_000  # numbers: more than is sent inline


def through_arrays(packed):
    """The way of engine=ray, with the interface of `unpack`."""
    return unpack_arrays(pack_arrays(unpack(packed)))


def mixed_value(n: int):
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


def same(tree, other_tree) -> bool:
    pairs = list(zip(leaves(tree), leaves(other_tree), strict=True))
    return all(
        type(a) is type(b) and (a.dtype, a.shape) == (b.dtype, b.shape) and bool((a == b).all())
        if hasattr(a, "dtype")
        else a == b
        for a, b in pairs
    )


@pytest.mark.parametrize("n", [3, LARGE])
@pytest.mark.parametrize("read", [unpack, map_shared, through_arrays])
def test_values_of_all_kinds_arrive_unchanged(n, read):
    sent = mixed_value(n)
    with pack(sent) as packed:
        received = read(packed)
    assert same(sent, received)
    for leaf in leaves(received):
        if torch.is_tensor(leaf) and leaf.numel():
            assert leaf.data_ptr() % 64 == 0, "aligned as by torch's allocator: the bits of a product may depend on it"
        if isinstance(leaf, np.ndarray):
            leaf[0] = 1


TENSORS = {
    "0-dim": lambda: torch.tensor(3.5),
    "0-dim bool": lambda: torch.tensor(True),
    "0-dim bfloat16": lambda: torch.tensor(1.5, dtype=torch.bfloat16),
    "one number with stride 0, of numpy": lambda: torch.tensor(np.array([3])[:, None]),
    "one number with stride 0, of from_numpy": lambda: torch.from_numpy(as_strided(np.ones(1), (1,), (0,))),
    "one number with stride 0, of expand": lambda: torch.tensor(3.0).expand(1, 1),
    "one number with strides of 0 and 7": lambda: torch.arange(9).as_strided((1, 1), (0, 7), 4),
    "one number with a large stride": lambda: torch.arange(12.0).view(3, 4)[1:2, 2:3],
    "stride 0, many numbers": lambda: torch.tensor(3.0).expand(5),
    "stride 0 in the first dimension": lambda: torch.arange(4.0).expand(3, 4),
    "stride 0 in the last dimension": lambda: torch.arange(4.0)[:, None].expand(4, 3),
    "stride 0 and slices": lambda: torch.arange(4.0).expand(3, 4)[1:, 1:3],
    "stride 0, large": lambda: torch.tensor(2.0).expand(LARGE),
    "every second number": lambda: torch.arange(10)[::2],
    "a column": lambda: torch.arange(12.0).view(3, 4)[:, 1],
    "transposed": lambda: torch.arange(12.0).view(3, 4).T,
    "permuted bool": lambda: (torch.arange(24) % 3 == 0).view(2, 3, 4).permute(2, 0, 1),
    "bfloat16 columns": lambda: torch.arange(12).to(torch.bfloat16).view(3, 4)[:, ::3],
    "channels_last": lambda: torch.arange(24.0).view(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
    "empty": lambda: torch.empty(0),
    "empty, with a shape": lambda: torch.empty(3, 0, 2, dtype=torch.bfloat16),
    "empty slice": lambda: torch.arange(6).view(2, 3)[:, 3:],
    "complex": lambda: torch.tensor([1 + 2j, 3 - 4j]),
    "flipped": lambda: torch.arange(5).flip(0),
}
ARRAYS = {
    "negative stride": lambda: np.arange(6)[::-1],
    "negative strides in two dimensions": lambda: np.arange(12.0).reshape(3, 4)[::-1, ::-2],
    "stride 0": lambda: np.broadcast_to(np.float32(3), (4, 2)),
    "one number with stride 0": lambda: np.array([3])[:, None],
    "0-dim": lambda: np.array(2.5),
    "Fortran order": lambda: np.asfortranarray(np.arange(12).reshape(3, 4)),
    "empty": lambda: np.empty((0, 3), dtype=np.int16),
    "bool": lambda: np.array([True, False, True])[::2],
    "large, negative stride": lambda: np.arange(LARGE)[::-1],
}


@pytest.mark.parametrize(
    "build", [*TENSORS.values(), *ARRAYS.values()], ids=[*TENSORS, *(f"array, {n}" for n in ARRAYS)]
)
@pytest.mark.parametrize("read", [unpack, map_shared, through_arrays])
def test_tensors_and_arrays_of_any_strides_arrive_unchanged(build, read):
    sent = [build(), "between", build()]  # the second follows other segments
    with pack(sent) as packed:
        assert same(sent, read(packed))


def test_writing_to_a_mapping_changes_no_other():
    with pack(torch.zeros(LARGE)) as packed:
        mapped, other_mapped, private = map_shared(packed), map_shared(packed), unpack(packed)
        mapped += 1
        private += 2
        assert other_mapped.sum() == 0 and map_shared(packed).sum() == 0


def test_a_row_does_not_bring_its_stack_along():
    stack = torch.zeros(1000, LARGE // 10)
    with pack([stack[3], stack[:, 0]]) as packed:
        assert packed.num_bytes < 5 * (LARGE // 10 + 1000)


def test_packed_memory_has_no_name_in_a_folder():
    with pack(torch.zeros(LARGE)):
        names = os.listdir("/dev/shm") if os.path.isdir("/dev/shm") else []
        assert not [name for name in names if f"_{os.getpid()}_" in name]  # as torch names the memory that it shares


def test_a_channel_keeps_received_values_apart_from_later_messages():
    sender, receiver = map(Channel, multiprocessing.Pipe())
    received = []
    for number, n in enumerate([3, LARGE, 2 * LARGE, 10, LARGE]):
        sender.send("numbers", torch.full((n,), float(number)))
        received.append(unpack(receiver.receive()[1]))
    assert [(len(tensor), tensor.unique().tolist()) for tensor in received] == [
        (3, [0.0]),
        (LARGE, [1.0]),
        (2 * LARGE, [2.0]),
        (10, [3.0]),
        (LARGE, [4.0]),
    ]
    with pack(torch.ones(LARGE)) as packed:
        sender.share("ones", packed)
    kind, shared = receiver.receive()
    sender.send("zeros", torch.zeros(LARGE))
    assert kind == "ones" and map_shared(shared).sum() == LARGE
    shared.close()
    sender.close()
    with pytest.raises(EOFError):
        receiver.receive() and receiver.receive()
    receiver.close()
