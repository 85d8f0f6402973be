"""What `prepare` makes of a command line."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from fedlit.errors import InputError
from fedlit.settings.start import prepare


def test_a_launcher_can_send_a_checked_command_line_elsewhere(in_folder: Path) -> None:
    start = prepare(["hydra.run.dir=run", "clients=3"])
    assert start.lock is not None
    sent = pickle.loads(pickle.dumps(start))
    assert (sent.overrides, sent.folder, sent.lock) == (start.overrides, start.folder, None)
    start.lock.release()


@pytest.mark.parametrize("word", ["hydra/launcher=basic", "hydra/sweeper=basic", "hydra.sweep.dir=mine"])
def test_words_of_a_sweep_without_one_are_refused(in_folder: Path, word: str) -> None:
    before = prepare(["hydra.run.dir=run", "clients=3"])
    assert before.lock is not None
    before.lock.release()
    for words in ([word], [word, "clients=3", "hydra.run.dir=other"]):
        with pytest.raises(
            InputError, match=f"^{word}: this is for the runs of a sweep, .* add --multirun, or leave it"
        ):
            prepare(words)
    assert not Path("other").exists()
    prepare(["--cfg", "hydra", word])
    with prepare(["-m", word, "clients=3,4", "hydra.sweep.subdir=${clients}"]).lock:
        pass
