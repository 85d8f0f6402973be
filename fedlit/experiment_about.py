"""The description of a run for its loggers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule
from omegaconf import DictConfig, OmegaConf

from fedlit.clients import Clients
from fedlit.data import DataSource
from fedlit.live_objects import is_live
from fedlit.model_vectors import Layout
from fedlit.partitions import histogram
from fedlit.plurals import counted
from fedlit.readable_names import readable
from fedlit.settings.option_names import STAGES
from fedlit.tracking import About
from fedlit.tracking.logger import DRAWN_CLIENTS
from fedlit.working_folder import from_command
from fedlit.written_values import as_written

SHOWN_CLIENTS = 10  # malicious clients that are named at the start


def describe(
    config: DictConfig,
    folder: Path,
    data: DataSource,
    clients: Clients,
    module: LightningModule,
    layout: Layout,
    resumed_after: int,
    malicious: Sequence[int] = (),
) -> About:
    """The description of the run for its loggers.

    Args:
        malicious: the numbers of the malicious clients.
    """
    labels = data.train.labels()
    shown = min(len(clients), DRAWN_CLIENTS)
    label_counts = None
    if labels is not None and data.classes:
        label_counts = histogram(clients.train, labels, data.classes, clients=slice(0, shown))
    plain_config: Any = OmegaConf.to_container(config, resolve=True)
    epochs, updates = config.local_epochs, config.local_updates
    work = counted(epochs, "local epoch") if updates is None else counted(updates, "local update")
    schedule = f"{counted(config.rounds, 'round')} of {work}"
    facts = {
        "data": f"{data.name}, {len(data.train)} training and {counted(len(data.test), 'test sample')}"
        + (f", {len(clients.public)} of the training samples public" if len(clients.public) else ""),
        "clients": f"{len(clients)}, {_class_name(config.partition)}, shards of {_samples(clients.train.sizes)}",
        "model": f"{type(module).__name__}, {layout.size:,} trained parameters",
        "aggregator": f"{_class_name(config.aggregator)}, {schedule}",
        **_travels(plain_config, len(clients), malicious),
        "folder": from_command(folder),
    }
    name = readable(str(config.name) if config.name is not None else folder.name)
    return About(
        folder,
        name,
        plain_config,
        config.rounds,
        resumed_after,
        label_counts,
        clients.train.sizes,
        data.label_names,
        facts,
        " · ".join([_option(config.aggregator), _option(config.partition), data.name, f"seed {config.seed}"]),
    )


def _travels(config: Mapping[str, Any], clients: int, malicious: Sequence[int]) -> dict[str, str]:
    """Stages, reduction and malicious clients: a line for each part that is chosen."""
    facts = {key: ", ".join(map(_with_number, config[key].values())) for key in STAGES if config[key]}
    if reduction := config.get("reduction"):
        inner = reduction.get("inner")
        facts["reduction"] = _with_number(reduction) + (f" of {_with_number(inner)}" if inner else "")
    if attack := config.get("attack"):
        rounds = "" if attack.get("rounds") is None else f", in rounds {as_written(attack['rounds'])}"
        who = f"{len(malicious):,} of {counted(clients, 'client')} ({_first(malicious)}){rounds}"
        facts["attack"] = f"{_class_name(attack)} by {who if malicious else 'no client'}"
    return facts


def _with_number(config: Mapping[str, Any]) -> str:
    """Such as `TopK share=0.1`: the class, and its first argument that is a number."""
    first = next((f" {key}={value:g}" for key, value in config.items() if type(value) in (int, float)), "")
    return _class_name(config) + first


def _first(clients: Sequence[int]) -> str:
    """The first of these numbers, with an ellipsis where there are more."""
    return ", ".join(map(str, clients[:SHOWN_CLIENTS])) + (", ..." if len(clients) > SHOWN_CLIENTS else "")


def _option(config: Mapping[str, Any]) -> str:
    """Such as `fedavg` or `dirichlet(0.5)`: the class, and its first argument if that is a number other than zero."""
    name = _class_name(config).lower() if str(config["_target_"]).startswith("fedlit.") else _class_name(config)
    arguments = [key for key in config if not str(key).startswith("_")]
    first = config[arguments[0]] if arguments else None
    return f"{name}({first:g})" if type(first) in (int, float) and first else name


def _class_name(config: Mapping[str, Any]) -> str:
    path = str(config["_target_"])
    return (str(config["kind"]) if is_live(path) else path).rpartition(".")[2]


def _samples(sizes: np.ndarray) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return counted(low, "sample") if low == high else f"{low:,} to {high:,} samples"
