"""The process of a caller is left as it was, also where a run ends with an error."""

from __future__ import annotations

import logging
import logging.handlers
import os
import random
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import hydra
import hydra.version
import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from fedlit.caller_state import caller_state_kept
from fedlit.errors import InputError
from fedlit.settings.compose import composer
from fedlit.settings.folders import conf_folder


def state() -> dict[str, Any]:
    root, other = logging.getLogger(), logging.getLogger("a.caller")
    return {
        "loggers": [(list(each.handlers), each.level, each.propagate, each.disabled) for each in (root, other)],
        "disable": logging.root.manager.disable,
        "warnings": (warnings.showwarning, list(warnings.filters)),
        "draws": (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()),
        "torch": (torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "hydra": (GlobalHydra.instance().hydra, HydraConfig.instance().cfg, hydra.version.getbase()),
        "places": (list(sys.path), os.getcwd(), dict(os.environ)),
    }


def change(folder: Path) -> None:
    """What code of a user's, Lightning and Hydra change in a run."""
    logging.config.dictConfig({"version": 1, "root": {"level": "DEBUG", "handlers": []}})
    logging.getLogger("a.caller").handlers.append(logging.NullHandler())
    logging.getLogger("a.caller").propagate = False
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    warnings.showwarning = print  # type: ignore[assignment]
    torch.rand(3), np.random.rand(3), random.random()
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = torch.backends.cudnn.deterministic = True
    with composer():
        HydraConfig.instance().cfg = OmegaConf.create({"hydra": {}})
    sys.path.append("/nowhere")
    os.chdir(folder)
    os.environ["A_NEW_NAME"] = os.environ["PATH"] = "new"


@pytest.mark.parametrize("mode", ["plain", "inference", "no_grad"])
def test_all_that_a_run_changes_is_put_back_after_an_error(tmp_path: Path, in_folder: Path, mode: str) -> None:
    (tmp_path / "run").mkdir()
    context: Any = {"plain": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}[mode]()
    with context, hydra.initialize_config_dir(str(conf_folder()), version_base="1.2"):
        before = state()
        with pytest.raises(ZeroDivisionError), caller_state_kept():
            assert not GlobalHydra.instance().is_initialized()
            assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
            change(tmp_path / "run")
            raise ZeroDivisionError
        assert state() == before
        assert before["hydra"][0] is not None


def test_files_that_a_caller_logs_into_go_on(tmp_path: Path) -> None:
    """dictConfig closes the handlers that logging knows of, and a closed file of mode "w" is not opened again."""
    logger = logging.getLogger("a.caller")
    file = logging.FileHandler(tmp_path / "log.txt", mode="w")
    held = logging.handlers.MemoryHandler(100, target=file)
    logger.addHandler(held)
    try:
        logger.error("before")
        with caller_state_kept():
            logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
        logger.error("after")
        held.flush()
        assert (tmp_path / "log.txt").read_text() == "before\nafter\n"
        assert file in [reference() for reference in logging._handlerList]  # closed when Python ends
    finally:
        logger.removeHandler(held)
        file.close()


def test_two_at_a_time_are_refused_in_a_thread_and_within_a_run() -> None:
    errors: list[str] = []

    def other() -> None:
        try:
            with caller_state_kept():
                pass
        except InputError as error:
            errors.append(str(error))

    with caller_state_kept():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        other()
    other()
    assert len(errors) == 2 and errors[0].startswith("a run is going on in this process already")


def test_the_default_device_is_the_cpu_and_the_default_type_is_said() -> None:
    torch.set_default_device("meta")
    try:
        with caller_state_kept():
            assert torch.empty(1).device.type == "cpu"
        assert torch.empty(1).device.type == "meta"
    finally:
        torch.set_default_device(None)
    with torch.device("meta"), pytest.raises(InputError, match="is in force around this call"), caller_state_kept():
        pass
    said = r"made torch.float64 torch's default type, and it is torch.float32 again"
    with pytest.warns(UserWarning, match=said), caller_state_kept():
        torch.set_default_dtype(torch.float64)
    assert torch.get_default_dtype() == torch.float32


def test_another_default_type_is_kept_and_said(double_precision: None) -> None:
    with pytest.warns(UserWarning, match=r"default type is torch.float64 in this process"), caller_state_kept():
        assert torch.empty(1).dtype == torch.float64
