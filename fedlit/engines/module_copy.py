"""A module on its way to the workers: its pickle, or else what makes it again."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule

from fedlit.errors import InputError


@dataclass
class ModuleCopy:
    saved: np.ndarray | None  # bytes of torch.save, which keeps what tensors share; None: it cannot be pickled
    again: Callable[[], LightningModule] | None
    generators: tuple[Any, Any, Any]  # of torch, numpy and Python: a `configure_model` may draw frozen weights

    @classmethod
    def of(cls, module: LightningModule, again: Callable[[], LightningModule] | None) -> ModuleCopy:
        generators = torch.get_rng_state(), np.random.get_state(), random.getstate()
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
        states = self.generators
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
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
