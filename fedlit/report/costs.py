"""The rounds of a run with the bytes and seconds that they have cost so far."""

from __future__ import annotations

import pandas as pd

from fedlit.metric_names import BYTES_DOWN, BYTES_UP, is_time
from fedlit.saved_run import SavedRun

BYTES, SECONDS = "bytes", "seconds"


def with_costs(run: SavedRun) -> pd.DataFrame:
    """The run's metrics by round, and the columns `bytes` (down and up) and `seconds` (all parts of the rounds),
    summed from round 1 on. A cost that the run did not measure has no column."""
    frame: pd.DataFrame = run.frame.copy()
    sent = [name for name in (BYTES_DOWN, BYTES_UP) if name in frame]
    laps = [name for name in frame if is_time(name)]
    if sent:
        frame[BYTES] = frame[sent].sum(axis=1).cumsum()
    if laps:
        frame[SECONDS] = frame[laps].sum(axis=1).cumsum()
    return frame
