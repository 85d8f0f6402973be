"""A run within a process of the user's, such as a notebook's, leaves that process as it was."""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fedlit.errors import InputError
from fedlit.global_generators import restore_generators, saved_generators
from fedlit.settings.hydra_compat import global_state_kept

_running = threading.Lock()


@contextmanager
def caller_state_kept() -> Iterator[None]:
    """On exit, all that a run changes in its process is as before: loggers, warnings, Hydra's and torch's global
    objects, the global generators, the environment, `sys.path` and the current folder.

    In the block, modules of the current folder can be imported.

    Raises:
        InputError: another such block is open. Runs share what is listed above, so that two at a time would mix it up.
    """
    if not _running.acquire(blocking=False):
        raise InputError(
            "a run is going on in this process already; wait for its end, or start the other one in a process of its "
            "own."
        )
    try:
        with _places_kept(), _loggers_kept(), warnings.catch_warnings(), global_state_kept(), _torch_kept():
            yield
    finally:
        _running.release()


@contextmanager
def _places_kept() -> Iterator[None]:
    path, folder, environment = list(sys.path), os.getcwd(), dict(os.environ)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path[:] = path
        os.chdir(folder)
        for name in set(os.environ) - set(environment):
            del os.environ[name]
        os.environ.update({name: value for name, value in environment.items() if os.environ.get(name) != value})


@contextmanager
def _loggers_kept() -> Iterator[None]:
    """Hydra sets up the root logger, and logging then closes every handler that it knows of. So it forgets the
    caller's for a while."""
    root = logging.getLogger()
    loggers = [entry for entry in logging.Logger.manager.loggerDict.values() if isinstance(entry, logging.Logger)]
    settings = [(each, list(each.handlers), each.level, each.propagate, each.disabled) for each in (root, *loggers)]
    disabled, known, named = logging.root.manager.disable, list(logging._handlerList), dict(logging._handlers)  # type: ignore[attr-defined]
    logging._handlerList.clear()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for handler in root.handlers:
            if handler not in settings[0][1]:
                handler.close()
        logging._handlerList[:0] = known  # type: ignore[attr-defined]
        logging._handlers.update(named)  # type: ignore[attr-defined]
        logging.disable(disabled)
        for each, handlers, level, propagate, is_disabled in settings:
            each.handlers[:] = handlers
            each.setLevel(level)
            each.propagate, each.disabled = propagate, is_disabled


@contextmanager
def _torch_kept() -> Iterator[None]:
    """In the block, new tensors lie on the CPU and gradients are recorded, as in a process of the command line.

    The default type of tensors is the caller's, because modules and data of the caller's may be made of it.
    """
    generators, threads = saved_generators(), torch.get_num_threads()
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    if device.type != "cpu":
        torch.set_default_device(None)
        if torch.get_default_device().type != "cpu":
            raise InputError(f"torch.device({device.type!r}) is in force around this call; write it after that block.")
    if dtype != torch.float32:
        warnings.warn(
            f"torch's default type is {dtype} in this process, so this run may have other numbers than that of the "
            "command line, where it is torch.float32",
            stacklevel=5,
        )
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        changed = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        if device.type != "cpu":
            torch.set_default_device(device)
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
        torch.set_num_threads(threads)
        restore_generators(generators)
        if changed != dtype:
            warnings.warn(
                f"the code of this run has made {changed} torch's default type, and it is {dtype} again; write "
                f"torch.set_default_dtype({changed}) before the next run in this process",
                stacklevel=5,
            )
