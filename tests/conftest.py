"""Fixtures of all tests: an empty folder, the folder of downloaded data, and double precision."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


def pytest_configure() -> None:
    """Under `nohup`, or as a background job of a script, the tests inherit ignored signals, and so would their runs."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def torch_stays_imported() -> Iterator[None]:
    """Torch cannot be imported twice: a test that removes its modules breaks the tests after it, or itself if it runs
    alone (`SystemError: bad call flags`). Remove your own modules by their names."""
    yield
    lost = [name for name, module in _IMPORTED.items() if sys.modules.get(name) is not module]
    sys.modules.update(_IMPORTED)
    assert not lost, f"a test removed {', '.join(lost)} from sys.modules"


_IMPORTED = {name: sys.modules[name] for name in ("torch", "torch.nn", "torch.optim", "numpy")}


@pytest.fixture(autouse=True)
def log_level_stays() -> Iterator[None]:
    """Runs set the level of the root's logger; tests that count log lines must not depend on the tests before them."""
    logging.root.setLevel(logging.WARNING)
    yield
    logging.root.setLevel(logging.WARNING)


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of downloaded data sets that FEDLIT_DATA names; without it the test is skipped."""
    root = os.environ.get("FEDLIT_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("needs downloaded data: set FEDLIT_DATA to the folder that holds it")
    return Path(root)


@pytest.fixture
def double_precision() -> Iterator[None]:
    """New tensors are float64, drawn from seed 0."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
