"""The global random generators of torch, numpy and Python: seeded, saved and restored here, and in `user_imports`
while a user's module is imported.

fedlit draws from keyed generators (`fedlit.randomness`). The global ones matter because a user's code draws from them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

CpuStates = tuple[torch.Tensor, Any, Any]  # of torch, numpy and Python; picklable


def seed_everything(seed: int) -> None:
    """Seed the global generators of torch (CPU and, once in use, accelerators), numpy and Python."""
    seed_cpu(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed & (2**63 - 1))
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(seed & (2**63 - 1))


def seed_cpu(seed: int) -> None:
    """Seed the global generators of torch's CPU, numpy and Python."""
    # torch.manual_seed also queues a seed for an unused CUDA with its call stack, which takes a millisecond.
    torch.default_generator.manual_seed(seed & (2**63 - 1))
    np.random.seed(seed & (2**32 - 1))
    random.seed(seed)


def cpu_states() -> CpuStates:
    """The states of the global CPU generators, for `restore_cpu`."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def restore_cpu(states: CpuStates) -> None:
    """Set the global CPU generators to states that `cpu_states` returned."""
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])


def generator_states() -> tuple[Any, ...]:
    """The states of all global generators, CUDA's once in use, as plain values that `==` compares."""
    _, words, *position = np.random.get_state()
    tensors = [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else ())]
    return [state.numpy().tobytes() for state in tensors], np.asarray(words).tobytes(), position, random.getstate()


@contextmanager
def preserved_cpu_generators() -> Iterator[None]:
    """Restore the global CPU generators on exit."""
    states = cpu_states()
    try:
        yield
    finally:
        restore_cpu(states)


def saved_generators() -> tuple[CpuStates, Any]:
    """The states of all global generators, CUDA's once in use, for `restore_generators`."""
    return cpu_states(), torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None


def restore_generators(states: tuple[CpuStates, Any]) -> None:
    """Set the global generators to states that `saved_generators` returned."""
    restore_cpu(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state_all(states[1])


@contextmanager
def isolated_generators(seed: int) -> Iterator[None]:
    """Seed the global generators for the block and restore them on exit."""
    states = saved_generators()
    try:
        seed_everything(seed)
        yield
    finally:
        restore_generators(states)


def has_drawn_since(seed: int) -> bool:
    """Whether the global generators have drawn since they were seeded."""
    states = generator_states()
    with isolated_generators(seed):
        return states != generator_states()
