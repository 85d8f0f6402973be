"""Facts of its trainer that a step reads."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.lr_scheduler import OneCycleLR

from tests.training.module_kinds.case import Case, Plain, looped, loss_of, step, vectors


def reads(fact: Any) -> Any:
    return lambda self, batch, batch_idx: loss_of(self, batch) * (1 + fact(self))


def logs_by(call: Any) -> Any:
    def of(self: Any, batch: Any, batch_idx: int) -> Any:
        loss = loss_of(self, batch)
        call(self, loss)
        return loss

    return of


def sets_on_the_data_module(self: Any) -> int:
    data = self.trainer.datamodule
    data.calls = getattr(data, "calls", 0) + 1
    return int(data.calls)


def one_cycle(steps: Any) -> Case:
    """A schedule over the steps of the fit, of which clients have different numbers."""

    class OneCycle(Plain):
        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)
            return [optimizer], [{"scheduler": OneCycleLR(optimizer, 0.3, total_steps=steps(self)), "interval": "step"}]

    return Case("stacked", OneCycle, vectors)


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
    "batches of the loader": step(reads(lambda self: len(self.trainer.train_dataloader))),
    "batches of the data module": step(reads(lambda self: len(self.trainer.datamodule.train_dataloader()))),
    "an attribute of the data module": step(reads(lambda self: self.trainer.datamodule.factor)),
    "estimated_stepping_batches": step(reads(lambda self: self.trainer.estimated_stepping_batches)),
    "samples of the loader": looped(step(reads(lambda self: len(self.trainer.train_dataloader.dataset))), "dataset"),
    "batch size of the loader": looped(
        step(reads(lambda self: self.trainer.train_dataloader.batch_size)), "batch_size"
    ),
    "batches of the batch sampler": looped(
        step(reads(lambda self: len(self.trainer.train_dataloader.batch_sampler))), "batch_sampler"
    ),
    "iterating the loader": looped(
        step(reads(lambda self: sum(float(b[0].sum()) for b in self.trainer.train_dataloader))), "batches of its client"
    ),
    "an attribute set on the data module": looped(step(reads(sets_on_the_data_module)), "calls of the data module"),
    "one cycle over the estimated steps": one_cycle(lambda self: self.trainer.estimated_stepping_batches),
    "one cycle over the loader": one_cycle(lambda self: len(self.trainer.train_dataloader) * self.trainer.max_epochs),
    "one cycle over the data module": one_cycle(
        lambda self: len(self.trainer.datamodule.train_dataloader()) * self.trainer.max_epochs
    ),
    "logger.experiment": step(logs_by(lambda self, loss: self.logger.experiment.add_scalar("loss", loss, 1))),
    "logger, if there is one": step(logs_by(lambda self, loss: self.logger and self.logger.log_metrics({"l": loss}))),
    "every logger": step(logs_by(lambda self, loss: [lo.log_image("x", [loss]) for lo in self.loggers])),
    "logger of the trainer": step(logs_by(lambda self, loss: self.trainer.logger.experiment["a/b"].append(loss))),
}


def stops(self: Any, batch: Any, batch_idx: int) -> Any:
    if self.current_epoch == 0:
        self.trainer.should_stop = True
    return loss_of(self, batch)


FACTS["stopping early"] = Case("refused", step(stops).make, vectors, "should_stop")
