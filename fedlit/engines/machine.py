"""What this machine has to offer to workers."""

from __future__ import annotations

import copy
import os
from typing import Any

import torch

from fedlit.trainers.base import Trainer


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
    named: Any = getattr(trainer, "devices", 1)
    count = torch.cuda.device_count()
    return list(named) if count and isinstance(named, list | tuple) else list(range(count))


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
