"""The pretended device raises where CUDA raises, and notes each wait with its kind."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tests.pretended_gpu.device import PretendedTensor
from tests.pretended_gpu.waits import watch

HERE = {"device": "pretended:0"}


@pytest.fixture
def x() -> Any:
    made = torch.arange(6.0, **HERE).view(2, 3)
    watch.seen.clear()
    watch.mixed.clear()
    return made


MIXED: dict[str, Callable[[Any], Any]] = {
    "a CPU tensor in an elementwise operation": lambda x: x + torch.ones(3),
    "the device's in an operation of the CPU": lambda x: torch.ones(2, 3).add_(x),
    "a number of the CPU that is written": lambda x: torch.ones(()).add_(x.sum()),
    "a product": lambda x: x @ torch.ones(3, 2),
    "a number in a product": lambda x: torch.dot(x[0], torch.ones(3)),
    "cat": lambda x: torch.cat([x, torch.ones(2, 3)]),
    "stack": lambda x: torch.stack([x.sum(), torch.ones(())]),
    "vmap": lambda x: torch.func.vmap(lambda row: row * torch.ones(3))(x),
}


@pytest.mark.parametrize("operation", MIXED.values(), ids=MIXED)
def test_tensors_of_two_devices_raise(operation: Callable[[Any], Any], x: Any) -> None:
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        operation(x)
    assert len(watch.mixed) == 1


WAITS: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "item": (lambda x: x.sum().item(), ["item"]),
    "bool": (lambda x: bool((x > 0).any()), ["item"]),
    "float": (lambda x: float(x.sum()), ["item"]),
    "equal": (lambda x: torch.equal(x, x), ["item"]),
    "allclose": (lambda x: torch.allclose(x, x), ["item"]),
    "cpu": (lambda x: x.cpu(), ["download"]),
    "tolist": (lambda x: x.tolist(), ["download"]),
    "a copy into a CPU tensor": (lambda x: torch.empty(2, 3).copy_(x, non_blocking=True), ["download"]),
    "tensor": (lambda x: torch.tensor([1.0], **HERE), ["upload"]),
    "new_tensor": (lambda x: x.new_tensor([1.0]), ["upload"]),
    "a blocking copy": (lambda x: torch.ones(3).to("pretended:0"), ["upload"]),
    "a copy that does not block": (lambda x: torch.ones(3).to("pretended:0", non_blocking=True), []),
    "an index of the CPU": (lambda x: x[torch.tensor([1])], ["upload"]),
    "a list as index": (lambda x: x[[1, 0]], ["upload"]),
    "an index of the device": (lambda x: x[torch.zeros(2, dtype=torch.int64, **HERE)], []),
    "a mask": (lambda x: x[x > 1], ["shape"]),
    "a number written by a mask": (lambda x: x.__setitem__(x > 1, 0.0), []),
    "nonzero": (lambda x: x.nonzero(), ["shape"]),
    "masked_select": (lambda x: x.masked_select(x > 1), ["shape"]),
    "unique": (lambda x: x.unique(), ["shape"]),
    "repeat_interleave": (lambda x: x.repeat_interleave(torch.ones(2, dtype=torch.int64, **HERE), 0), ["shape"]),
    "factories": (lambda x: (torch.zeros(3, **HERE), x.new_zeros(3), torch.full((), 2.0, **HERE)), []),
    "a number of the CPU": (lambda x: x * torch.tensor(2.0), []),
}


@pytest.mark.parametrize(("operation", "kinds"), WAITS.values(), ids=WAITS)
def test_waits_are_noted(operation: Callable[[Any], Any], kinds: list[str], x: Any) -> None:
    operation(x)
    assert [wait.kind for wait in watch.seen] == kinds and watch.mixed == []
    assert all(wait.caller.startswith("tests/pretended_gpu/cases_device.py:") for wait in watch.seen)


def test_a_tensor_is_no_array(x: Any) -> None:
    with pytest.raises(TypeError, match="can't convert pretended:0"):
        x.numpy()


def test_a_module_moves_as_on_a_gpu() -> None:
    net, inputs = nn.Linear(3, 2), torch.ones(4, 3)
    weight, expected = net.weight, net(inputs)
    net.to("pretended:0")
    assert net.weight is weight and isinstance(weight, nn.Parameter) and weight.device.type == "pretended"
    outputs = net(inputs.to("pretended:0"))
    outputs.sum().backward()
    assert torch.equal(outputs.cpu(), expected) and isinstance(weight.grad, PretendedTensor)
    twin = copy.deepcopy(net)
    assert isinstance(twin.weight, PretendedTensor) and twin.weight is not weight and twin.weight.requires_grad
    net.cpu()
    assert net.weight is weight and not isinstance(net.weight, PretendedTensor)


def test_a_file_remembers_the_device(x: Any) -> None:
    file = io.BytesIO()
    torch.save({"x": x, "on_cpu": torch.ones(2)}, file)
    file.seek(0)
    read = torch.load(file, weights_only=True)
    assert isinstance(read["x"], PretendedTensor) and not isinstance(read["on_cpu"], PretendedTensor)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=True, map_location="cpu")["x"], x.cpu())
