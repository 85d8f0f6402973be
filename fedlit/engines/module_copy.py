"""A module on its way to the workers: its pickle, or else what makes it again."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from lightning.pytorch import LightningModule

from fedlit.errors import InputError
from fedlit.global_generators import CpuStates, cpu_states, restore_cpu


@dataclass
class ModuleCopy:
    saved: np.ndarray | None  # bytes of torch.save, which keeps what tensors share; None: it cannot be pickled
    again: Callable[[], LightningModule] | None
    generators: CpuStates  # a `configure_model` may draw frozen weights

    @classmethod
    def of(cls, module: LightningModule, again: Callable[[], LightningModule] | None) -> ModuleCopy:
        generators = cpu_states()
        stream = io.BytesIO()
        try:
            torch.save(module, stream)
        except Exception as error:
            if again is None:
                raise InputError(cannot_be_sent(type(module).__name__, error)) from error
            return cls(None, again, generators)
        return cls(np.frombuffer(stream.getbuffer(), dtype=np.uint8), again, generators)

    def make(self) -> LightningModule:
        """The module, in the process of a worker."""
        module = self._made()
        restore_cpu(self.generators)
        return module

    def _made(self) -> LightningModule:
        if self.saved is not None:
            return torch.load(io.BytesIO(self.saved.data), weights_only=False)
        assert self.again is not None
        return self.again()


def cannot_be_sent(what: str, error: Exception) -> str:
    return (
        f"{what} cannot be sent to worker processes ({type(error).__name__}: {error}); define what it holds at the top "
        "of a module instead of inside a function or as a lambda, or write engine=serial."
    )
