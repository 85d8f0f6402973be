"""What all tests share: no run of a test writes into the checkout, and data that has to be downloaded is asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


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
