"""The settings that change no number of a run: how it is shown, kept and computed, and where data lie.

One list, for the report (rows do not differ by them), published values (they leave them as they are) and runs that go
on (they may change a part of them).
"""

from __future__ import annotations

FREE_ON_RESUME = (
    *("targets", "engine", "progress", "profile", "checkpoint", "device", "trainer.accelerator", "trainer.devices"),
    "cipher.workers",
)
"""Those that a run may change where it goes on."""

NO_RESULT = (
    *FREE_ON_RESUME,
    *("name", "hydra", "resume", "debug", "logger", "threads", "store", "secure", "data.root", "data.download"),
)
"""Groups and keys. Other threads and devices round differently; the seed is no such setting."""


def changes_no_result(key: str) -> bool:
    """
    >>> changes_no_result("checkpoint.every"), changes_no_result("data.root"), changes_no_result("data.path")
    (True, True, False)
    """
    plain = key.lstrip("+~").replace("/", ".")
    return any(f"{plain}.".startswith(f"{part}.") for part in NO_RESULT)
