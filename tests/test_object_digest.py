"""Digests of live objects: equal ones have one, and whatever they hold is seen."""

from __future__ import annotations

import copy
import functools
import random
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn

from fedlit.errors import InputError
from fedlit.object_digest import digest_of


class Holder:
    """Holds a value and itself."""

    def __init__(self, value: Any):
        self.value, self.me = value, self


class Slotted:
    __slots__ = ("number",)

    def __init__(self, number: int):
        self.number = number


def shifted(by: float) -> Callable[[float], float]:
    def shift(x: float) -> float:
        return x + by

    return shift


def without_value(is_deleted: bool) -> Callable[[], Any]:
    value = 1

    def give() -> int:
        return value

    if is_deleted:
        del value
    return give


class Colliding:
    """Elements with one hash come out of a set in the order in which they went in."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return self is other


def tied(is_tied: bool) -> nn.ModuleList:
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    layers[1].load_state_dict(layers[0].state_dict())
    if is_tied:
        layers[1].weight = layers[0].weight
    return layers


def hooked(hook: Any) -> nn.Module:
    torch.manual_seed(0)
    module = nn.Linear(2, 2)
    module.register_forward_hook(hook)
    return module


PAIRS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "tensor": (lambda: torch.tensor([1.0, 2.0]), lambda: torch.tensor([1.0, 2.5])),
    "a tensor's type": (lambda: torch.zeros(2), lambda: torch.zeros(2).double()),
    "a tensor's shape": (lambda: torch.zeros(2), lambda: torch.zeros(2, 1)),
    "bfloat16": (lambda: torch.ones(2).bfloat16(), lambda: torch.zeros(2).bfloat16()),
    "no numbers": (lambda: torch.zeros(0), lambda: torch.zeros(0, 3)),
    "scalar": (lambda: torch.tensor(1.0), lambda: torch.tensor(2.0)),
    "sparse": (lambda: torch.eye(2).to_sparse(), lambda: 2 * torch.eye(2).to_sparse()),
    "conjugate": (lambda: torch.tensor([1j]).conj(), lambda: torch.tensor([1j])),
    "frozen": (lambda: nn.Linear(1, 1).requires_grad_(False), lambda: nn.Linear(1, 1)),
    "array": (lambda: np.arange(3), lambda: np.arange(3)[::-1]),
    "array of objects": (lambda: np.array([None, 1]), lambda: np.array([None, 2])),
    "list": (lambda: [1, [2]], lambda: [1, [3]]),
    "bool": (lambda: 1, lambda: True),
    "dict": (lambda: {"a": 1}, lambda: {"a": 2}),
    "set": (lambda: {"a", "b", "c"}, lambda: {"a", "b", "d"}),
    "set of sets": (lambda: {frozenset({1, 2}), frozenset({3})}, lambda: {frozenset({1}), frozenset({2, 3})}),
    "queue": (lambda: deque([1]), lambda: deque([2])),
    "slots": (lambda: Slotted(1), lambda: Slotted(2)),
    "function": (lambda: torch.relu, lambda: torch.tanh),
    "lambda": (lambda: lambda x: x + 1, lambda: lambda x: x - 1),
    "a lambda's constant": (lambda: lambda x: x + 1, lambda: lambda x: x + 2),
    "closure": (lambda: shifted(1.0), lambda: shifted(2.0)),
    "a closure's deleted variable": (lambda: without_value(True), lambda: without_value(False)),
    "default": (lambda: lambda x=1: x, lambda: lambda x=2: x),
    "partial": (lambda: functools.partial(pow, 2), lambda: functools.partial(pow, 3)),
    "method": (lambda: Holder(1).__init__, lambda: Holder(2).__init__),
    "class": (lambda: nn.ReLU, lambda: nn.Tanh),
    "generator": (lambda: torch.Generator().manual_seed(1), lambda: torch.Generator().manual_seed(2)),
    "Python's generator": (lambda: random.Random(1), lambda: random.Random(2)),
    "path": (lambda: Path("a"), lambda: Path("b")),
    "mode": (lambda: nn.ReLU().eval(), lambda: nn.ReLU()),
    "tied": (lambda: tied(True), lambda: tied(False)),
    "hook": (lambda: hooked(shifted(1.0)), lambda: hooked(shifted(2.0))),
    "module in a list": (lambda: [nn.Linear(2, 2)], lambda: [nn.Linear(2, 3)]),
    "lazy": (lambda: nn.LazyLinear(2), lambda: nn.LazyLinear(3)),
}


@pytest.mark.parametrize("case", PAIRS)
def test_equal_objects_have_one_digest_and_others_another(case: str) -> None:
    digests = []
    for make in (PAIRS[case][0], PAIRS[case][0], PAIRS[case][1]):
        torch.manual_seed(0)
        held = Holder(make())
        digest, unseen = digest_of(held)
        assert not unseen
        if "lambda" not in case:
            assert digest_of(copy.deepcopy(held))[0] == digest
        digests.append(digest)
    assert digests[0] == digests[1] != digests[2]


def test_the_order_of_a_set_does_not_count() -> None:
    def digest(order: list[int], is_shared: bool) -> str:
        shared = ["shared"]
        elements = [Colliding([number, shared if is_shared else ["shared"]]) for number in range(3)]
        collection = {elements[number] for number in order}
        return digest_of([collection, elements, {frozenset({(element,)}) for element in collection}])[0]

    first = digest([0, 1, 2], True)
    assert digest([2, 0, 1], True) == digest([1, 2, 0], True) == first
    assert digest([0, 1, 2], False) == digest([2, 1, 0], False) != first


def test_a_set_may_hold_what_holds_the_set() -> None:
    def circle(numbers: list[int]) -> list[Any]:
        outer: set[Any] = set()
        inner: set[Any] = {Colliding([number, outer]) for number in numbers}
        outer.update(Colliding([number, inner]) for number in numbers)
        return [outer]

    assert digest_of(circle([1, 2]))[0] == digest_of(circle([2, 1]))[0] != digest_of(circle([1, 3]))[0]


def test_contents_that_are_nested_too_deeply_are_a_sentence() -> None:
    nested: list[Any] = []
    for _ in range(2000):
        nested = [nested]
    with pytest.raises(InputError, match=r"this Holder holds objects within objects, .* keep them in a flat list"):
        digest_of(Holder(nested))


def test_what_cannot_be_seen_is_named(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert digest_of(Holder([file]))[1] == ["_io.TextIOWrapper"]


def test_a_fit_of_lightning_leaves_no_trace_but_in_the_weights() -> None:
    module = pl.LightningModule()
    digest = digest_of(module)
    module.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, barebones=True)
    assert digest_of(module) == digest


OTHER_PROCESS = """
import torch, torchmetrics
from torch import nn
from fedlit.object_digest import digest_of
from lightning.pytorch import LightningModule

class Net(LightningModule):
    def __init__(self):
        super().__init__()
        self.save_hyperparameters({"words": {"one", "two", "three"}})
        self.net = nn.Sequential(nn.LSTM(2, 3), nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)))
        self.accuracy = torchmetrics.Accuracy("multiclass", num_classes=3)
        self.step = lambda x: x in {"a", "b", "c"}
        self.pairs = {frozenset({"a", "b"}), frozenset({"c", "d"}), frozenset({"e"})}
        self.again = sorted(self.pairs, key=sorted)

torch.manual_seed(0)
print(digest_of(Net()))
"""


@pytest.mark.slow
def test_another_process_gives_the_same_digest() -> None:
    printed = {
        subprocess.run(
            [sys.executable, "-c", OTHER_PROCESS],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "12"
    }
    assert len(printed) == 1 and printed.pop().endswith(", [])\n")
