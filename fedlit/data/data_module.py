"""The loaders of a LightningDataModule: its hooks called once, before any training."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch.utils.data import DataLoader, Dataset

from fedlit.data.fingerprint import looks_same
from fedlit.data.loaders import dataset_of, only_loader, samples_of_loader
from fedlit.data.subsets import shared_samples
from fedlit.errors import InputError

_LIGHTNING_HOOKS = ("lightning.pytorch.core.hooks", "pytorch_lightning.core.hooks")  # modules of hooks not overridden

_TEST_STAGES = {"test_dataloader": "test", "val_dataloader": "validate"}


class Loaded(NamedTuple):
    """A loader of a data module, its samples, and the hook that returned it."""

    loader: DataLoader[Any]
    dataset: Dataset[Any]
    where: str


def loaders_of(data: Any, name: str) -> tuple[Loaded, Loaded]:
    """The loaders of the training and of the test samples, the latter from `val_dataloader` if there is no other.

    All stages are set up before both loaders are taken. Where `setup` splits the data again at each call, loaders
    that were taken between two calls would be of two splits, and test samples of one are training samples of the other.

    Raises:
        InputError: the module overrides a hook that clients do not call, or has no loader for testing.
    """
    for hook in ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"):
        if overrides(data, hook):
            raise InputError(f"data: {name} overrides {hook}, which clients do not call; override it in the model.")
    set_up = _setup_of(data, name)
    test_hook = next((hook for hook in _TEST_STAGES if overrides(data, hook)), "")
    data.prepare_data()
    set_up("fit")
    if test_hook:
        set_up(_TEST_STAGES[test_hook])
    train = _train(data, name) if test_hook else None
    returned = getattr(data, test_hook)() if test_hook else None
    if _is_none(returned) and test_hook == "test_dataloader" and overrides(data, "val_dataloader"):
        test_hook = "val_dataloader"
        set_up(_TEST_STAGES[test_hook])
        train, returned = _train(data, name), data.val_dataloader()
    if _is_none(returned):
        raise InputError(f"data: {name} has neither a test nor a validation loader; give it a test_dataloader.")
    test = _loaded(returned, f"{name}.{test_hook}")
    if train is None or _may_be_of_test(train, test):
        return _train_of_fit(data, name, train, set_up), test
    return train, test


def overrides(data: Any, hook: str) -> bool:
    """Whether a data module has a hook of its own."""
    return getattr(getattr(data, hook, None), "__module__", _LIGHTNING_HOOKS[0]) not in _LIGHTNING_HOOKS


def _loaded(returned: Any, where: str) -> Loaded:
    loader = only_loader(returned, where)
    return Loaded(loader, dataset_of(loader, where), where)


def _setup_of(data: Any, name: str) -> Callable[[str], None]:
    """A function of the stage that calls `setup` as it is written: with the stage, or once without it.

    A second call without a stage could only split the data again.
    """
    if _takes(data.setup, "fit"):
        return data.setup
    if _takes(data.setup, stage="fit"):
        return lambda stage: data.setup(stage=stage)
    if not _takes(data.setup):
        raise InputError(f"data: {name}.setup takes other arguments than a stage; write def setup(self, stage).")
    calls = iter([data.setup])
    return lambda stage: next(calls, lambda: None)()


def _takes(setup: Any, *args: Any, **arguments: Any) -> bool:
    try:
        inspect.signature(setup).bind(*args, **arguments)
    except TypeError:
        return False
    except ValueError:  # written in C
        pass
    return True


def _is_none(returned: Any) -> bool:
    return returned is None or (isinstance(returned, list | tuple | Mapping) and not returned)


def _train(data: Any, name: str) -> Loaded | None:
    """The training loader after the last stage; None if the module no longer has it."""
    try:
        returned = data.train_dataloader()
    except Exception:
        return None
    return None if _is_none(returned) else _loaded(returned, f"{name}.train_dataloader")


def _may_be_of_test(train: Loaded, test: Loaded) -> bool:
    """Whether all samples of a training loader may be those of the test stage."""
    size = len(train.dataset)  # type: ignore[arg-type]
    return shared_samples(test.dataset, train.dataset) == size or _looks_same(train, test)


def _looks_same(first: Loaded, second: Loaded) -> bool:
    return looks_same(*(samples_of_loader(part.loader, part.dataset) for part in (first, second)))


def _train_of_fit(data: Any, name: str, train: Loaded | None, set_up: Callable[[str], None]) -> Loaded:
    """The training loader of a module that keeps the samples of a stage under one name.

    Such a module gives test samples for training once the test stage is set up. It is set up to fit again, and the
    loader is used if its samples are others.
    """
    set_up("fit")
    again = _loaded(data.train_dataloader(), f"{name}.train_dataloader")
    return train if train is not None and _looks_same(train, again) else again
