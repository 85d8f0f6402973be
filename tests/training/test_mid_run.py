"""A stack that cannot go on in a later round: its clients go one by one, with the same numbers, said once a cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.errors import InputError
from fedlit.training.lightning import LightningTrainer
from fedlit.training.stacked import VectorizedTrainer
from tests.training.forty.case import Plain, loss_of, step, vectors
from tests.training.test_forty_modules import assert_same, averaged, worker

ROUNDS = 4


def by_value(self: Plain, loss: Any) -> Any:
    return loss * 0.5 if loss.item() > 1.1 else loss


def drawn(self: Plain, loss: Any) -> Any:
    return loss * np.random.rand()


def remembered(self: Plain, loss: Any) -> Any:
    self.calls += 1
    return loss / self.calls


def late(what: Callable[[Plain, Any], Any]) -> Any:
    """`what` from the third round on."""

    def of(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = loss_of(self, batch)
        return what(self, loss) if self.round > 2 else loss

    return step(of, calls=lambda: 0).make


def made(make: Any) -> Any:
    torch.manual_seed(0)
    return make()


@pytest.mark.parametrize("what", [by_value, drawn, remembered])
def test_a_later_round_goes_row_by_row(what: Any, caplog: pytest.LogCaptureFixture) -> None:
    make = late(what)
    mine = worker(VectorizedTrainer, made(make), vectors())
    assert mine.setup.plan.stacked
    found = averaged(mine, ROUNDS)
    assert_same(found, averaged(worker(LightningTrainer, made(make), vectors()), ROUNDS))
    said = [r.getMessage() for r in caplog.records if "one by one" in r.getMessage()]
    assert len(said) == 1 and said[0].startswith("round 3: clients 0, 1, 2 "), said


def test_what_is_only_on_a_trainer_is_said_in_a_later_round_too() -> None:
    make = late(lambda self, loss: loss * len(getattr(self.trainer, "logged_metrics", {})))
    mine = worker(VectorizedTrainer, made(make), vectors())
    with pytest.raises(InputError, match="logged_metrics, which is there on a Trainer only; write trainer=lightning."):
        averaged(mine, ROUNDS)
