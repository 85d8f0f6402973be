"""The data of a run: built under a seed of their own, and compared with those that a resumed run began with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.model_helpers import is_overridden
from omegaconf import DictConfig
from torch import Tensor

from fedlit.data import DataSource, adopt, count_classes
from fedlit.data.client_data import FirstBatch
from fedlit.data.fingerprint import difference, fingerprint
from fedlit.data.fit_data_module import with_hooks_of
from fedlit.data.label_axis import SqueezedLabels, has_label_axis, squeezed
from fedlit.data.targets import Part
from fedlit.errors import InputError
from fedlit.global_generators import isolated_generators, preserved_cpu_generators
from fedlit.quiet import silent
from fedlit.settings.classes import build, locate, names_argument
from fedlit.training.made_layers import make_layers
from fedlit.user_module.module_snapshot import copied
from fedlit.user_module.probe import attach_stub, probe
from fedlit.working_folder import in_folder

log = logging.getLogger(__name__)
_MAY_CONVERT = (
    *("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"),
    *("on_fit_start", "on_train_start", "on_train_epoch_start", "on_train_batch_start"),
)
_OF_TYPES = ("dtype", "scalar type", "should be the same")  # in torch's messages on two types


def load_data(config: DictConfig, batch_size: int, start_folder: Path) -> tuple[DataSource, dict[str, Any]]:
    """The data that `data=` names, and their fingerprint.

    The global generators of torch, numpy and Python are seeded by `data.seed` (0 if it is not set) before the class is
    called, run on through its hooks, and are restored afterwards. The run's seed does not matter, so that runs of
    several seeds share their data.

    Args:
        config: the group `data`.
        batch_size: the run's.
        start_folder: the folder from which relative paths are meant.
    """
    with in_folder(start_folder), isolated_generators(_seed(config)):
        data = adopt(build(config, "data"), _target(config), batch_size)
        count_classes(data)
        facts = fingerprint(data)
        if not _are_repeatable(facts):
            log.warning(
                "data: samples of %s differ when they are read again with the same seeds, so no run is repeatable; "
                "draw from the global generators of torch, numpy or Python.",
                data.name,
            )
        return data, facts


def _are_repeatable(facts: Mapping[str, Any]) -> bool:
    """Whether a sample that is read again is the same: not so if it is drawn from a generator of the data set's own."""
    return all(facts[part]["samples"] is not None for part in ("train", "test"))


def check_same_data(named: str, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """InputError if a run would go on with other data than it began with; the message begins with `named`."""
    different = "" if before is None else difference(before, now)
    if different:
        raise InputError(
            f"{named}: {different}; give it the same data again, or start a fresh run "
            "(random draws of a data class are repeated if they are of torch's, numpy's or Python's global generators)."
        )


def with_labels_for(module: LightningModule, data: DataSource) -> DataSource:
    """The data, with labels (N, 1) as (N,) if the module's step raises with (N, 1) and runs with (N,)."""
    batch = data.train.batch(np.arange(min(2, len(data.train))))
    if not has_label_axis(data.train, batch):
        return data
    trial = _with_layers(module, data, batch)
    if not probe(trial, batch).failure or probe(trial, squeezed(batch, data.train.target)).failure:
        return data
    log.warning(
        "%s: training_step gets the labels of %s as (N,), because it fails with (N, 1).",
        *(type(module).__name__, data.name),
    )
    return replace(data, train=SqueezedLabels(data.train), test=SqueezedLabels(data.test))


def check_types(module: LightningModule, data: DataSource, precision: str) -> None:
    """InputError if the step of a module fails because its weights and the inputs are of two floating-point types, as
    of a module that was made or converted in another precision.

    Args:
        precision: `trainer.precision`; all but "32-true" convert what they need. Hooks and transforms may do so too.
    """
    types = {p.dtype for p in module.parameters() if p.is_floating_point()}
    if precision != "32-true" or not types or data.transform or any(is_overridden(h, module) for h in _MAY_CONVERT):
        return
    with preserved_cpu_generators():  # a Dataset may draw
        batch = data.train.batch(np.arange(min(2, len(data.train))))
    inputs = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if not isinstance(inputs, Tensor) or not inputs.is_floating_point() or inputs.dtype in types:
        return
    failure = probe(_with_layers(module, data, batch), batch).failure
    if any(text in failure for text in _OF_TYPES):
        raise InputError(
            f"the weights of {type(module).__name__} are {next(iter(types))}, and the inputs of {data.name} are "
            f"{inputs.dtype} ({failure}); convert one of the two, or write trainer.precision=64-true."
        )


def _with_layers(module: LightningModule, data: DataSource, batch: Any) -> LightningModule:
    """A copy with the layers that setup and configure_model make."""

    def data_for(trainer: Any) -> LightningDataModule:
        return with_hooks_of(FirstBatch(data.train, np.arange(min(2, len(data.train))), lambda: batch), data.users)

    try:
        trial = copied(module)
        with silent(), isolated_generators(0):
            make_layers(trial, partial(attach_stub, data_for=data_for))
    except Exception as error:  # the run raises by itself
        log.info("%s: its layers cannot be made on a copy", type(module).__name__, exc_info=error)
        return module
    return trial


def _seed(config: DictConfig) -> int:
    seed = config.get("seed")
    if seed is None:
        return 0
    is_number = isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0
    if not is_number and names_argument(locate(config["_target_"], "data"), "seed"):
        return 0  # the class's own, of any kind
    if not is_number:
        raise InputError(f"data.seed={seed}: it has to be an integer of at least 0; write for example data.seed=0.")
    return int(seed)


def public_samples(config: DictConfig) -> int:
    """The number of public samples that `data.public` asks for; a class with an argument `public` has it for itself.

    Args:
        config: the group `data`.
    """
    public = config.get("public") or 0
    return 0 if names_argument(locate(config["_target_"], "data"), "public") else int(public)


def _target(config: DictConfig) -> Part | None:
    """The part of a batch that holds the targets; a class with an argument `target` has it for itself."""
    target = config.get("target")
    if target is None or names_argument(locate(config["_target_"], "data"), "target"):
        return None
    if isinstance(target, bool) or not isinstance(target, int | str):
        raise InputError(
            f"data.target={target}: it has to be the number or the key of the targets in a sample; write for example "
            "data.target=1."
        )
    return target
