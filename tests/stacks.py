"""Whether a worker of `trainer=vectorized` has trained stacks: else it trains one by one, with the same numbers."""

from __future__ import annotations

from typing import Any


def check_stacked(worker: Any) -> None:
    """Raise AssertionError if the module cannot be stacked, or if a stack has failed and was trained one by one."""
    setup = worker.setup
    assert setup.plan.stacked, f"the clients would be trained one by one: {setup.plan.reason}"
    assert not setup.notices._causes, f"clients were trained one by one: {setup.notices._causes}"
