"""The description of a run of parties for its loggers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from fedlit.plurals import counted
from fedlit.readable_names import readable
from fedlit.tracking import About
from fedlit.vertical.engine import Plan
from fedlit.vertical.party_data import GUEST, PartyData
from fedlit.vertical.protocol import Protocol
from fedlit.working_folder import from_command


def describe(
    config: DictConfig, folder: Path, name: str, plan: Plan, data: Mapping[str, PartyData], resumed_after: int
) -> About:
    """
    Args:
        name: of the data.
        data: of each party.
        resumed_after: rounds completed.
    """
    guest = data[GUEST]
    columns = [f"{party} {counted(len(part.columns), 'column')}" for party, part in data.items()]
    helpers = [party for party in plan.parties if party not in data]
    facts = {
        "data": f"{name}, {len(guest.train):,} training and {len(guest.test):,} test people of the guest",
        "parties": ", ".join([*columns, *helpers]),
        "protocol": f"{type(plan.protocol).__name__}, {counted(config.rounds, 'round')}",
        "cipher": f"{_with_numbers(plan.cipher)}, aligned by {type(plan.alignment).__name__}",
        "folder": from_command(folder),
    }
    plain_config: Any = OmegaConf.to_container(config, resolve=True)
    label = readable(str(config.name) if config.name is not None else folder.name)
    title = " · ".join([protocol_name(plan.protocol), name, f"{len(data)} parties", f"seed {config.seed}"])
    return About(folder, label, plain_config, config.rounds, resumed_after, facts=facts, title=title)


def protocol_name(protocol: Protocol) -> str:
    """The option of `protocol=`; the class of a protocol that was not chosen by one."""
    chosen = HydraConfig.get().runtime.choices.get("protocol") if HydraConfig.initialized() else None
    is_ready = type(protocol).__module__.startswith("fedlit.")
    return str(chosen) if chosen and is_ready else type(protocol).__name__


def _with_numbers(options: Any) -> str:
    """Such as `Paillier bits=2048 workers=1`: the class, and its numbers."""
    names = [field.name for field in fields(options)] if is_dataclass(options) else []
    numbers = [f"{name}={getattr(options, name)}" for name in names if type(getattr(options, name)) in (int, float)]
    return " ".join([type(options).__name__, *numbers])
