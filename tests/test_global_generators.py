"""The global random generators are seeded, saved and restored."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from fedlit.global_generators import cpu_states, generator_states, isolated_generators, restore_cpu


def test_isolated_generators_are_restored_also_after_an_error():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    expected = torch.rand(1).item(), np.random.random(), random.random()
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    with pytest.raises(KeyError), isolated_generators(5):
        torch.rand(3), np.random.random(3), random.random()
        raise KeyError
    assert (torch.rand(1).item(), np.random.random(), random.random()) == expected


def test_a_draw_on_a_gpu_changes_the_states(monkeypatch):
    state = torch.zeros(16, dtype=torch.uint8)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [state.clone()])
    before = generator_states()
    assert generator_states() == before
    state += 1
    assert generator_states() != before


def test_restored_cpu_states_repeat_the_draws():
    states = cpu_states()
    drawn = torch.rand(1).item(), np.random.random(), random.random()
    restore_cpu(states)
    assert (torch.rand(1).item(), np.random.random(), random.random()) == drawn
