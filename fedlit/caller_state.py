"""A run within a process of the user's, such as a notebook's, leaves that process as it was."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from fedlit.global_generators import restore_generators, saved_generators


@contextmanager
def caller_state_kept() -> Iterator[None]:
    """On exit, the handlers of the root logger, Hydra's global objects, the global generators, torch's threads,
    `sys.path` and the current folder are those of before. In the block, modules of the current folder can be imported.
    """
    root, path, folder = logging.getLogger(), list(sys.path), os.getcwd()
    handlers, level = list(root.handlers), root.level
    generators, threads = saved_generators(), torch.get_num_threads()
    hydra, hydra_config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        yield
    finally:
        for handler in root.handlers:
            if handler not in handlers:
                handler.close()
        for handler in handlers:
            if isinstance(handler, logging.FileHandler):
                handler.mode = "a"  # Hydra has closed it: it opens its file again at the next line
        root.handlers[:] = handlers
        root.setLevel(level)
        GlobalHydra.instance().hydra, HydraConfig.instance().cfg = hydra, hydra_config
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])
        torch.set_num_threads(threads)
        restore_generators(generators)
        sys.path[:] = path
        os.chdir(folder)
