"""`trainer.datamodule` while a client is trained or measured: the user's own data module, with the client's loaders."""

from __future__ import annotations

import copy
from typing import Any

from lightning.pytorch import LightningDataModule

from fedlit.errors import InputError

_HOOKS = (
    "prepare_data",
    "setup",
    "teardown",
    "train_dataloader",
    "val_dataloader",
    "test_dataloader",
    "predict_dataloader",
)


def with_hooks_of(client: LightningDataModule, users: Any) -> LightningDataModule:
    """A copy of the user's data module with the loaders and hooks of `client`.

    Its class, hyperparameters and attributes are the user's. The copy is shallow: an attribute that one fit sets is not
    there in the next.

    Args:
        users: the user's LightningDataModule, or any other object that the data came from; None: there is none.
    """
    users = client if users is None else users
    view = copy.copy(users) if isinstance(users, LightningDataModule) else _Attributes(users)
    for hook in _HOOKS:
        setattr(view, hook, getattr(client, hook))
    return view


class _Attributes(LightningDataModule):
    """A data module with the attributes of an object of another class, such as pytorch_lightning's data modules."""

    def __init__(self, users: Any):
        super().__init__()
        self._users = users

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_users":
            raise AttributeError(name)
        return getattr(self._users, name)


class CannotBeSent:
    """In place of a user's data module that cannot be pickled, in a worker process.

    Args:
        name: of its class.
        reason: why it cannot be pickled.
    """

    def __init__(self, name: str, reason: str):
        self._name, self._reason = name, reason

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise InputError(
            f"self.trainer.datamodule.{name}: {self._name} cannot be sent to worker processes ({self._reason}); "
            "define what it holds at the top level of a Python module, or write engine=serial."
        )
