"""What `prepare` makes of a command line."""

from __future__ import annotations

import pickle
from pathlib import Path

from fedlit.settings.start import prepare


def test_a_launcher_can_send_a_checked_command_line_elsewhere(in_folder: Path) -> None:
    start = prepare(["hydra.run.dir=run", "clients=3"])
    assert start.lock is not None
    sent = pickle.loads(pickle.dumps(start))
    assert (sent.overrides, sent.folder, sent.lock) == (start.overrides, start.folder, None)
    start.lock.release()
