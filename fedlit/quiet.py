"""Lightning's own messages, which a run of thousands of fits would repeat thousands of times."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning.pytorch as pl

for _name in ("lightning.pytorch", "lightning.fabric"):  # lines about devices, and tips
    logging.getLogger(_name).setLevel(logging.ERROR)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's warnings (few workers, no validation loop, ...). The user's own are shown."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        warnings.filterwarnings("ignore", category=pl.utilities.rank_zero.LightningDeprecationWarning)
        yield


@contextmanager
def silent() -> Iterator[None]:
    """Drop what a user's hooks print, log and warn of in a trial: the fits of the run will say it."""
    disabled = logging.root.manager.disable
    nowhere = io.StringIO()
    with warnings.catch_warnings(), quiet(), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)
