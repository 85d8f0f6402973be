"""The GPUs of this machine, and how a process that trains is set up."""

from __future__ import annotations

import copy
import ctypes
from contextlib import suppress
from typing import Any

import torch

from fedlit.training import Trainer

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, from glibc's malloc.h
_TRIM_BYTES = 1 << 30
_MMAP_BYTES = 32 << 20  # the largest value that glibc accepts


def set_up_process(threads: int) -> None:
    """Call it before a process trains.

    By default glibc returns large blocks to the system as soon as they are freed. Each training step then requests the
    same blocks again and takes a page fault for each page: up to a third of the time of a convolutional network on a
    CPU. So glibc is set to keep freed memory. Other C libraries are left as they are.

    Args:
        threads: of a torch operation.
    """
    torch.set_num_threads(threads)
    with suppress(AttributeError, OSError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)


def gpus(trainer: Trainer) -> list[int]:
    """The GPUs that a trainer would use, by number; empty if it trains on the CPU.

    `trainer.devices` is 1 for any one GPU (then all are used, one worker on each) or a list that names one.
    """
    if not uses_gpus(trainer):
        return []
    count = torch.cuda.device_count()
    return (named_gpus(trainer) or list(range(count))) if count else []


def named_gpus(trainer: Trainer) -> list[int]:
    """The GPUs that `trainer.devices` names."""
    devices: Any = getattr(trainer, "devices", 1)
    return list(devices) if isinstance(devices, list | tuple) else []


def uses_gpus(trainer: Trainer) -> bool:
    """Whether a trainer would train on a GPU if the machine has one."""
    return getattr(trainer, "accelerator", "cpu") in ("auto", "gpu", "cuda")


def on_gpu(trainer: Trainer, gpu: int | None) -> Trainer:
    """A copy of the trainer that uses this GPU; None returns the trainer unchanged."""
    if gpu is None:
        return trainer
    copied: Any = copy.copy(trainer)
    copied.devices = [gpu]
    return copied
