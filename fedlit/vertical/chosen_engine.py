"""`engine=` for parties: the engines of clients have the same names, and other options."""

from __future__ import annotations

from omegaconf import DictConfig

from fedlit.errors import InputError
from fedlit.vertical.engine import Engine
from fedlit.vertical.processes import Processes
from fedlit.vertical.serial import Serial

_ENGINES: dict[str, type[Engine]] = {"fedlit.engines.Serial": Serial, "fedlit.engines.Processes": Processes}


def chosen_engine(config: DictConfig) -> Engine:
    """
    Args:
        config: the group `engine`.

    Raises:
        InputError: the engine has no counterpart, or an option of clients' engines is set.
    """
    kind = _ENGINES.get(str(config["_target_"]))
    if kind is None:
        raise InputError(
            f"engine._target_={config['_target_']}: parties run by engine=serial, or by engine=processes, one process "
            "each; write one of the two."
        )
    if config.get("workers") is not None:
        raise InputError(
            f"engine.workers={config.workers}: each party has one process; leave it out, or write cipher.workers="
            f"{config.workers} for the processes that share the arithmetic of a party."
        )
    if config.get("on_failure", "raise") != "raise":
        raise InputError(
            f"engine.on_failure={config.on_failure}: no round can go on without one of its parties; leave it out."
        )
    return kind()
