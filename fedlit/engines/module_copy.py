"""A module on its way to the workers: its pickle, or a function that builds the same module there."""

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
    """Either `saved` or `rebuild` gives the module; `saved` is preferred."""

    saved: np.ndarray | None  # the bytes of torch.save, which keeps shared tensors shared; None: it cannot be pickled
    rebuild: Callable[[], LightningModule] | None
    generators: CpuStates  # a `configure_model` may draw frozen weights

    @classmethod
    def of(cls, module: LightningModule, rebuild: Callable[[], LightningModule] | None) -> ModuleCopy:
        generators = cpu_states()
        stream = io.BytesIO()
        try:
            torch.save(module, stream)
        except Exception as error:
            if rebuild is None:
                raise InputError(cannot_be_sent(type(module).__name__, error)) from error
            return cls(None, rebuild, generators)
        return cls(np.frombuffer(stream.getbuffer(), dtype=np.uint8), rebuild, generators)

    def restore(self) -> LightningModule:
        """The module, in a worker process. The global generators get the states of the main process."""
        module = self._load()
        restore_cpu(self.generators)
        return module

    def _load(self) -> LightningModule:
        if self.saved is not None:
            return torch.load(io.BytesIO(self.saved.data), weights_only=False)
        assert self.rebuild is not None
        return self.rebuild()


def cannot_be_sent(name: str, error: Exception) -> str:
    """The sentence for a user whose object cannot be pickled."""
    return (
        f"{name} cannot be sent to worker processes ({type(error).__name__}: {error}); define what it holds at the top "
        "level of a Python module, not inside a function or as a lambda, or write engine=serial."
    )
