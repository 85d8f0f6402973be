"""What this machine has to offer to workers, and how a process that trains is set up for it."""

from __future__ import annotations

import copy
import ctypes
import os
from contextlib import suppress
from typing import Any

import torch

from fedlit.training import Trainer

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT, _LARGE = 1 << 30, 32 << 20  # bytes; the latter is the most that glibc takes


def set_up_process(threads: int) -> None:
    """Before a process trains.

    glibc gives large blocks back to the system as soon as they are freed, and each step of a fit asks for the same ones
    again, empty and page by page: up to a third of the time of a convolutional network on a CPU. It is told to keep
    them; other C libraries are left as they are.

    Args:
        threads: of a torch operation.
    """
    torch.set_num_threads(threads)
    with suppress(AttributeError, OSError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpus(trainer: Trainer) -> list[int]:
    """The GPUs a trainer would use, by number; empty where it trains on the CPU.

    `trainer.devices` is 1 for any one GPU (then all are used, a worker on each) or a list that names one.
    """
    if not uses_gpus(trainer):
        return []
    count = torch.cuda.device_count()
    return (named_gpus(trainer) or list(range(count))) if count else []


def named_gpus(trainer: Trainer) -> list[int]:
    """Those that `trainer.devices` names."""
    devices: Any = getattr(trainer, "devices", 1)
    return list(devices) if isinstance(devices, list | tuple) else []


def uses_gpus(trainer: Trainer) -> bool:
    """Whether a trainer would train on a GPU where there is one."""
    return getattr(trainer, "accelerator", "cpu") in ("auto", "gpu", "cuda")


def on_gpu(trainer: Trainer, gpu: int | None) -> Trainer:
    """The trainer, on this GPU; as it is where there is none."""
    if gpu is None:
        return trainer
    placed: Any = copy.copy(trainer)
    placed.devices = [gpu]
    return placed
