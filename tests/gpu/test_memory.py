"""A thousand fits leave no memory behind, on the device or off it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.federation import DEVICE, TRAINERS, run
from tests.gpu.memory_rows import MemoryRows

pytestmark = pytest.mark.gpu

CLIENTS, ROUNDS = (100, 10) if DEVICE != "cpu" else (20, 10)  # 1,000 fits
WARM_UP = 3  # rounds after which caches are full
GROWTH = 30.0  # MB of the process that are no leak: 1,000 fits that kept a module each would leave more


@pytest.mark.parametrize("trainer", TRAINERS)
def test_memory_is_flat_over_a_thousand_fits(tmp_path: Path, trainer: str) -> None:
    MemoryRows.rows.clear()
    words = (
        "logger=none",
        "logger.mine._target_=tests.gpu.memory_rows.MemoryRows",
        f"+data.sites={CLIENTS}",
        *TRAINERS[trainer],
    )
    changes = {"participation": 1.0, "evaluation.clients": 0, "checkpoint.every": 10**6, "checkpoint.keep": 1}
    run(tmp_path / "run", *words, clients=CLIENTS, rounds=ROUNDS + WARM_UP, evaluation__every=100, **changes)
    after = MemoryRows.rows[WARM_UP - 1 : -1]  # the last round evaluates
    assert len(after) == ROUNDS
    assert max(m.allocated for m in after) - min(m.allocated for m in after) <= 64 * 1024
    assert max(m.highest for m in after[1:]) <= 1.02 * min(m.highest for m in after[1:])
    assert after[-1].resident - after[0].resident < GROWTH
