"""A snapshot restores a module, except for weights, statistics and counters."""

from __future__ import annotations

import threading

import torch
from torch import nn

from fedlit.user_module.module_snapshot import ModuleSnapshot, counters


class Messy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.teacher = nn.Linear(2, 2).requires_grad_(False)
        self.steps, self.history, self.lock = 0, {"seen": []}, threading.Lock()
        self.favourite = [self.layer]  # a list that points at a part of the module
        self.register_buffer("count", torch.zeros(1, dtype=torch.int64))


def test_attributes_are_restored_and_new_ones_removed():
    module = Messy()
    snapshot = ModuleSnapshot(module)
    for _ in range(2):  # each time the restored values are copies
        module.steps += 3
        module.history["seen"].append(1)
        module.layer.note = "left"
        module.extra = 5
        module.eval()
        snapshot.restore()
        assert module.steps == 0 and module.history == {"seen": []}
        assert not hasattr(module, "extra") and not hasattr(module.layer, "note")
        assert module.training and module.layer.training


def test_parts_of_the_module_stay_the_same_objects():
    module = Messy()
    layer, weight, lock = module.layer, module.layer.weight, module.lock
    snapshot = ModuleSnapshot(module)
    module.favourite.clear()
    snapshot.restore()
    assert module.favourite[0] is module.layer is layer
    assert module.layer.weight is weight and module.lock is lock


def test_frozen_weights_and_flags_are_restored_and_trained_weights_are_not():
    module = Messy()
    before = module.teacher.weight.clone()
    snapshot = ModuleSnapshot(module)
    for _ in range(2):
        with torch.no_grad():
            module.teacher.weight.mul_(0.5)
            module.layer.weight.fill_(7.0)
        module.layer.requires_grad_(False)
        module.teacher.weight.requires_grad_()
        module.layer.weight.grad = torch.ones(2, 2)
        snapshot.restore()
        assert torch.equal(module.teacher.weight, before)
        assert module.layer.weight.requires_grad and not module.teacher.weight.requires_grad
        assert module.layer.weight.grad is None
        assert module.layer.weight.flatten().tolist() == [7.0] * 4


def test_hooks_are_removed():
    module, calls = Messy(), []
    snapshot = ModuleSnapshot(module)
    module.layer.register_forward_hook(lambda *a: calls.append(1))
    snapshot.restore()
    module.layer(torch.ones(1, 2))
    assert calls == []


def test_counters_are_copies_of_integer_buffers():
    module = nn.Sequential(nn.BatchNorm1d(2), Messy())
    result = counters(module)
    assert set(result) == {"0.num_batches_tracked", "1.count"}
    result["1.count"] += 1
    assert int(module[1].count) == 0
