"""Trained models as files that need no fedlit: safetensors, or a checkpoint of Lightning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from lightning.pytorch import LightningModule, Trainer
from omegaconf import OmegaConf
from torch import Tensor

from fedlit.after_run.reopened import Reopened
from fedlit.atomic_files import replacing
from fedlit.errors import InputError, one_line
from fedlit.global_generators import isolated_generators
from fedlit.quiet import silent
from fedlit.settings.classes import locate, names_argument

Write = Callable[[LightningModule, Path, dict[str, str]], None]
"""`write(module, file, facts)`; the facts say in the file where the model comes from."""


def write_safetensors(module: LightningModule, file: Path, facts: dict[str, str]) -> None:
    """The state_dict, as `safetensors.torch.load_file` reads it. Tied tensors are written once a name.

    Raises:
        InputError: it is not of tensors alone.
    """
    from safetensors.torch import save

    state = module.state_dict()
    others = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise InputError(
            f"{type(module).__name__}: {others[0]} in its state_dict is no tensor, which safetensors cannot hold; "
            "write format=lightning."
        )
    try:
        content = save({name: value.detach().clone().contiguous() for name, value in state.items()}, facts)
    except Exception as error:  # a type of numbers that the format lacks
        raise InputError(
            f"{type(module).__name__}: its state_dict cannot be written as safetensors ({one_line(error)}); write "
            "format=lightning."
        ) from error
    with replacing(file) as draft:
        draft.write_bytes(content)


def lightning_writer(run: Reopened) -> tuple[Write, list[str]]:
    """Writes a checkpoint that `Net.load_from_checkpoint(file)` loads.

    Returns:
        The writer, and the arguments of `Net` that `load_from_checkpoint` has to be given, because the configuration
        makes objects for them (`model.net._target_=...`), which a checkpoint does not hold.
    """
    arguments = _constructor_arguments(run)
    objects = _nodes_of_objects(run)

    def write(module: LightningModule, file: Path, facts: dict[str, str]) -> None:
        with silent(), replacing(file) as draft:
            trainer = Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)
            trainer.strategy.connect(module)
            module.trainer = trainer
            trainer.save_checkpoint(draft, weights_only=True)
            saved = torch.load(draft, map_location="cpu", weights_only=False)  # written a line above
            saved.setdefault(module.CHECKPOINT_HYPER_PARAMS_KEY, arguments)
            torch.save(saved | {"fedlit": facts}, draft)
            module.trainer = None
            _check_loads(module, draft, objects)

    return write, list(objects)


def _constructor_arguments(run: Reopened) -> dict[str, Any]:
    """The arguments with which the run made its module, as far as a checkpoint can hold them."""
    node = _model_node(run)
    target = locate(node["_target_"], "model")
    data = run.experiment.data
    offered = {"input_shape": data.input_shape, "classes": data.classes}
    given = {name: value for name, value in node.items() if not name.startswith("_") and _is_plain(value)}
    return {name: value for name, value in offered.items() if names_argument(target, name)} | given


def _nodes_of_objects(run: Reopened) -> dict[str, Any]:
    """The parts of the configuration that make objects for arguments of the module."""
    return {name: node for name, node in _model_node(run).items() if not name.startswith("_") and not _is_plain(node)}


def _model_node(run: Reopened) -> dict[str, Any]:
    node = OmegaConf.to_container(run.config.model, resolve=True)
    assert isinstance(node, dict)
    return {str(name): value for name, value in node.items()}


def _is_plain(value: Any) -> bool:
    """Whether a value names no object that is made when the module is."""
    if isinstance(value, dict):
        return "_target_" not in value and all(map(_is_plain, value.values()))
    return all(map(_is_plain, value)) if isinstance(value, list) else True


def _check_loads(module: LightningModule, file: Path, objects: Mapping[str, Any]) -> None:
    """
    Args:
        objects: the parts of the configuration for the arguments that the checkpoint lacks.

    Raises:
        InputError: Lightning does not make the same module of the file.
    """
    kind, state = type(module), module.state_dict()
    try:
        with isolated_generators(0):
            given = {name: instantiate(node, _convert_="all") for name, node in objects.items()}
            loaded = kind.load_from_checkpoint(file, map_location="cpu", **given).state_dict()
    except Exception as error:
        raise InputError(
            f"{kind.__name__}.load_from_checkpoint cannot make the module again ({one_line(error)}); write "
            "format=safetensors, or let __init__ make all layers and call self.save_hyperparameters()."
        ) from error
    same = loaded.keys() == state.keys() and all(
        torch.equal(value, loaded[name]) for name, value in state.items() if isinstance(value, Tensor)
    )
    if not same:
        raise InputError(
            f"{kind.__name__}.load_from_checkpoint gives other weights than those of the run; write format=safetensors."
        )
