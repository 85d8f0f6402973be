"""A stack that fails in a later round: its clients are trained one by one, with the same numbers and one warning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.errors import InputError
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.training.module_kinds.case import Plain, loss_of, step, vectors
from tests.training.test_module_kinds import assert_same, averaged, worker

ROUNDS = 4


def by_value(self: Plain, loss: Any) -> Any:
    return loss * 0.5 if loss.item() > 1.1 else loss


def drawn(self: Plain, loss: Any) -> Any:
    return loss * np.random.rand()


def remembered(self: Plain, loss: Any) -> Any:
    self.calls += 1
    return loss / self.calls


def late(change: Callable[[Plain, Any], Any]) -> Any:
    """A step with `change` of its loss from the third round on."""

    def of(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = loss_of(self, batch)
        return change(self, loss) if self.round > 2 else loss

    return step(of, calls=lambda: 0).make


def seeded(make: Any) -> Any:
    torch.manual_seed(0)
    return make()


@pytest.mark.parametrize("change", [by_value, drawn, remembered])
def test_a_stack_that_fails_later_is_trained_one_by_one(change: Any, caplog: pytest.LogCaptureFixture) -> None:
    make = late(change)
    vectorized = worker(VectorizedTrainer, seeded(make), vectors())
    assert vectorized.setup.plan.stacked
    result = averaged(vectorized, ROUNDS)
    assert_same(result, averaged(worker(LightningTrainer, seeded(make), vectors()), ROUNDS))
    messages = [r.getMessage() for r in caplog.records if "one by one" in r.getMessage()]
    assert len(messages) == 1 and messages[0].startswith("round 3: clients 0, 1, 2 "), messages


def test_a_fact_that_only_a_trainer_has_is_refused_also_in_a_later_round() -> None:
    make = late(lambda self, loss: loss * len(getattr(self.trainer, "logged_metrics", {})))
    vectorized = worker(VectorizedTrainer, seeded(make), vectors())
    with pytest.raises(InputError, match="logged_metrics, which only a Trainer has; write trainer=lightning."):
        averaged(vectorized, ROUNDS)
