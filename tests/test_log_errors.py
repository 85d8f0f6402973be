"""A log file on a full disk costs one sentence."""

from __future__ import annotations

import errno
import io
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from fedlit.log_errors import report_errors_once


class Failing(io.StringIO):
    def __init__(self, error: Exception):
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_is_one_sentence_for_all_lines(tmp_path: Path, capfd: Any, code: int) -> None:
    handler = logging.FileHandler(tmp_path / "run.log")
    handler.setStream(Failing(OSError(code, os.strerror(code)))).close()  # type: ignore[union-attr]
    report_errors_once(handler)
    for _ in range(3):
        handler.handle(logging.makeLogRecord({"msg": "a line"}))
    assert capfd.readouterr().err == f"{tmp_path / 'run.log'} cannot be written ({os.strerror(code)})\n"


def test_another_error_keeps_its_trace(capfd: Any) -> None:
    handler = logging.StreamHandler(Failing(ValueError("a bug")))
    report_errors_once(handler)
    handler.handle(logging.makeLogRecord({"msg": "a line"}))
    assert "ValueError: a bug" in capfd.readouterr().err
