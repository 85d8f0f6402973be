"""Facts of its trainer that a step reads."""

from __future__ import annotations

from typing import Any

from tests.training.module_kinds.case import Case, looped, loss_of, step, vectors


def reads(fact: Any) -> Any:
    return lambda self, batch, batch_idx: loss_of(self, batch) * (1 + fact(self))


FACTS: dict[str, Case] = {
    "batch_idx": step(lambda self, batch, batch_idx: loss_of(self, batch) * (1 + batch_idx)),
    "current_epoch": step(reads(lambda self: self.current_epoch)),
    "round": step(reads(lambda self: self.round)),
    "global_step": step(reads(lambda self: self.global_step)),
    "num_training_batches": step(reads(lambda self: self.trainer.num_training_batches)),
    "is_last_batch": step(reads(lambda self: self.trainer.is_last_batch)),
    "max_epochs": step(reads(lambda self: self.trainer.max_epochs)),
    "its optimiser": looped(step(reads(lambda self: self.optimizers().param_groups[0]["lr"])), "optimiser"),
    "its scheduler": looped(
        step(reads(lambda self: len(self.lr_schedulers() or []) if self.optimizers() else 0)), "optimiser"
    ),
    "printing": step(lambda self, batch, batch_idx: self.print("", end="") or loss_of(self, batch)),
    "callback_metrics": Case("refused", step(reads(lambda self: len(self.trainer.callback_metrics))).make, vectors),
    "getattr with a default": Case(
        "refused", step(reads(lambda self: len(getattr(self.trainer, "logged_metrics", {"no": 0})))).make, vectors
    ),
    "all_gather": Case("refused", step(lambda s, b, batch_idx: s.all_gather(loss_of(s, b)).mean()).make, vectors),
    "its data": Case("refused", step(reads(lambda self: len(self.trainer.train_dataloader))).make, vectors),
}


def stops(self: Any, batch: Any, batch_idx: int) -> Any:
    if self.current_epoch == 0:
        self.trainer.should_stop = True
    return loss_of(self, batch)


FACTS["stopping early"] = Case("refused", step(stops).make, vectors, "should_stop")
