"""What a study needs, checked before a folder is made."""

from __future__ import annotations

from omegaconf import DictConfig

from fedlit.errors import InputError
from fedlit.sweeps.objective import Objective, objective


def checked_objective(config: DictConfig, sweeper: DictConfig, goes_on: bool) -> Objective:
    """The objective of a study.

    Args:
        config: the configuration of its runs.
        sweeper: `hydra.sweeper`.
        goes_on: whether the sweep's folder has runs of it already.

    Raises:
        InputError: the study cannot be right, or cannot go on.
    """
    if sweeper.get("storage") is not None:
        raise InputError(
            f"hydra.sweeper.storage={sweeper.storage}: leave it out; a study is kept in the folders of its runs, and "
            "resume=<sweep folder> goes on with it."
        )
    if goes_on:
        _check_repeatable(sweeper)
    return objective(config, sweeper.get("direction"))


def _check_repeatable(sweeper: DictConfig) -> None:
    target, sampler = str(sweeper.get("_target_")), sweeper.get("sampler") or {}
    if not target.endswith(".OptunaSweeper"):
        name = target.rpartition(".")[2]
        raise InputError(f"{name}: fedlit does not know how to repeat its choices; start the sweep in a new folder.")
    if str(sampler.get("_target_")).endswith(".GridSampler"):
        raise InputError(
            "hydra/sweeper/sampler=grid: it draws the order of its runs without a seed, so that the study cannot go "
            "on; start it in a new folder, or leave hydra/sweeper=optuna out: a sweep over values goes on."
        )
    if sampler.get("seed") is None:
        raise InputError(
            "hydra.sweeper.sampler.seed: the study was started without a seed, so that its choices cannot be repeated; "
            "start it in a new folder with hydra.sweeper.sampler.seed=0."
        )
