"""Objects of the caller's own that a run uses in place of classes that its configuration names.

The configuration names a function of this file, and says what object it gave: `model.kind: mine.Net` and a digest of
what it holds. The object itself is not saved, so the run goes on only where the caller gives an equal one again. Of a
module the first weights are saved, so that they may differ.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningDataModule, LightningModule
from torch import Tensor
from torch.utils.data import DataLoader

from fedlit.aggregators import Aggregator
from fedlit.checkpoint import first_module
from fedlit.data import DataSource
from fedlit.errors import InputError, one_line
from fedlit.first_tensors import first_tensors, frozen_names, put_first_tensors
from fedlit.object_digest import digest_of
from fedlit.saved_run import SavedRun
from fedlit.user_module.module_snapshot import copied

log = logging.getLogger(__name__)
_GIVEN: dict[str, Any] = {}  # group -> object, while `given` is open
_ARGUMENTS = {"model": "module", "data": "data", "aggregator": "aggregator"}  # of `federate` and `load`


class Datasets(NamedTuple):
    """Two Datasets as data."""

    train: Any
    test: Any


def own_copies(module: Any = None, data: Any = None, aggregator: Any = None) -> dict[str, Any]:
    """The given objects by their group of the configuration, copied: later changes to the caller's are not seen.

    The data are copied shallowly, since they may be large: hooks of a data module set attributes of the copy.

    Raises:
        InputError: an object is of the wrong type, or cannot be copied.
    """
    objects = {}
    if module is not None:
        _check_kind("module", module, LightningModule)
        if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
            raise InputError(
                f"module: {type(module).__name__} has weights on the device meta, which hold no numbers; make it "
                "outside of torch.device('meta')."
            )
        objects["model"] = _copied("module", module).cpu()  # where a run makes its modules
    if data is not None:
        objects["data"] = copy.copy(_checked_data(data))
    if aggregator is not None:
        _check_kind("aggregator", aggregator, Aggregator)
        objects["aggregator"] = _copied("aggregator", aggregator)
    return objects


@contextmanager
def given(objects: Mapping[str, Any]) -> Iterator[None]:
    """In the block, runs in this process use these objects.

    Args:
        objects: by group, "model", "data" or "aggregator".
    """
    before = dict(_GIVEN)
    _GIVEN.update(objects)
    try:
        yield
    finally:
        _GIVEN.clear()
        _GIVEN.update(before)


def words_for(objects: Mapping[str, Any]) -> list[str]:
    """The overrides that name these objects."""
    words = []
    for group, value in objects.items():
        words += [f"{group}._target_={__name__}.{group}", f"{group}.kind={_kind(value)}"]
        if group != "data":  # a run compares its samples itself
            words.append(f"{group}.digest={digest_of(value)[0]}")
    return words


def as_begun(objects: Mapping[str, Any], saved: SavedRun) -> None:
    """Compare objects with those that a run began with, and give the module the first weights of the run.

    A module that has them equals the run's in all that a digest sees, such as its attributes and frozen weights, or it
    is refused.

    Raises:
        InputError: the run began with no object of this group, or with another one.
    """
    for group, value in objects.items():
        argument, config = _ARGUMENTS[group], saved.config[group]
        if not is_live(str(config.get("_target_"))):
            raise InputError(
                f"{argument}: this run began with {group}= of its configuration, and not with an object; give none."
            )
        if config.kind != _kind(value):
            raise InputError(
                f"{argument}: this run began with an object of {config.kind}; give one, and not one of {_kind(value)}."
            )
        if group == "data":
            continue
        digest, unseen = digest_of(value)
        if digest != config.digest and group == "model":
            _give_first_weights(value, saved.folder, str(config.digest))
        elif digest != config.digest:
            raise InputError(
                f"{argument}: this run began with a {_kind(value)} of other attributes; give one that is made in the "
                "same way."
            )
        if unseen:
            log.warning(
                "%s: what it holds of type %s is not compared with what the run began with; it has to be the same.",
                *(argument, ", ".join(unseen)),
            )


def _give_first_weights(module: LightningModule, folder: Path, digest: str) -> None:
    began = f"module: this run began with a {_kind(module)} of other"
    try:
        first = first_module(folder)
    except InputError as error:
        raise InputError(
            f"{began} weights or attributes; give one that is made in the same way (after the same torch.manual_seed), "
            f"since its first weights cannot be read ({error})."
        ) from None
    if not put_first_tensors(module, first):
        raise InputError(f"{began} weights, in their names, shapes or types; give one that is made in the same way.")
    if digest_of(module)[0] != digest:
        frozen = frozen_names(module)
        parts = "attributes" if not frozen else f"attributes or frozen weights (such as {frozen[0]})"
        raise InputError(
            f"{began} {parts}, which are not saved; give one that is made in the same way"
            f"{' (after the same torch.manual_seed)' if frozen else ''}."
        )


def given_tensors() -> dict[str, Tensor] | None:
    """The tensors of the caller's module that a run changes; None where no module is given."""
    return first_tensors(_GIVEN["model"]) if "model" in _GIVEN else None


def is_live(target: str) -> bool:
    """Whether a `_target_` names an object of the caller's."""
    return target.startswith(f"{__name__}.")


def model(kind: str, digest: str) -> Any:
    """A copy of the module, with its weights."""
    return copied(_object("model", kind))


def data(kind: str) -> Any:
    """The data, whose attributes stay as they are."""
    return copy.copy(_object("data", kind))


def aggregator(kind: str, digest: str) -> Any:
    """A copy of the algorithm."""
    return copy.deepcopy(_object("aggregator", kind))


def _object(group: str, kind: str) -> Any:
    if group not in _GIVEN:
        raise InputError(
            f"{group}: this run began with an object of {kind}, which is not saved; give one like it in Python, by "
            f'fedlit.federate(<the same objects>, "resume=<run folder>") to go on, or by '
            "fedlit.load(<run folder>, <objects like them>) to have its models."
        )
    return _GIVEN[group]


def _check_kind(argument: str, value: Any, kind: type) -> None:
    if isinstance(value, kind):
        return
    if isinstance(value, type):
        raise InputError(f"{argument}={value.__name__} is a class; give an object of it, {value.__name__}(...).")
    raise InputError(
        f"{argument} is an object of type {type(value).__name__}; give one of a class that inherits from "
        f"{kind.__name__}."
    )


def _copied(argument: str, value: Any) -> Any:
    try:
        return copied(value) if isinstance(value, LightningModule) else copy.deepcopy(value)
    except Exception as error:
        raise InputError(
            f"{argument}: this {type(value).__name__} cannot be copied ({one_line(error)}); let it open what cannot be "
            "copied at its first use."
        ) from error


def _checked_data(data: Any) -> Any:
    if isinstance(data, type):
        raise InputError(f"data={data.__name__} is a class; give an object of it, {data.__name__}(...).")
    if isinstance(data, LightningDataModule | DataSource) or (hasattr(data, "train") and hasattr(data, "test")):
        return data
    if isinstance(data, Mapping) and {"train", "test"} <= set(data):
        data = data["train"], data["test"]
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise InputError(
            f"data is an object of type {type(data).__name__}; give a LightningDataModule, or a pair of Datasets "
            "(train, test)."
        )
    for part, dataset in zip(Datasets._fields, data, strict=True):
        arrays = dataset[:1] if isinstance(dataset, tuple | list) else [dataset]
        if any(isinstance(array, torch.Tensor | np.ndarray) for array in arrays):
            raise InputError(f"data: its {part} part is made of arrays; write TensorDataset(<inputs>, <targets>).")
        if isinstance(dataset, DataLoader):
            raise InputError(f"data: its {part} part is a DataLoader; give its data set, <loader>.dataset.")
    return Datasets(*data)


def _kind(value: Any) -> str:
    """The import path of an object's class."""
    return f"{type(value).__module__}.{type(value).__qualname__}".replace("<locals>", "locals")
