"""`self.trainer.datamodule` and `self.trainer.train_dataloader` of the clients of a stack, which share one trainer."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningDataModule

from fedlit.user_module.trainer_stub import DiffersByClient, TrainerStub


class StackData(LightningDataModule):
    """The clients differ in the number of batches, which `trainer` knows, and in everything else of their loaders."""

    def __init__(self, trainer: TrainerStub):
        super().__init__()
        self._stub = trainer

    def train_dataloader(self) -> Any:
        return _StackLoader(self._stub)


class _StackLoader:
    def __init__(self, trainer: TrainerStub):
        self._trainer = trainer

    def __len__(self) -> int:
        return self._trainer.num_training_batches

    def __iter__(self) -> Any:
        raise DiffersByClient("the step reads the batches of its client")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise DiffersByClient(f"the step reads the loader's {name}")
