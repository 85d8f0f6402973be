"""trainer=lightning: each client has a `Trainer.fit` of its own.

Start at `worker`: it loads a client's model and batches; `fit_callback` acts inside the fit."""

from fedlit.training.lightning.trainer import LightningTrainer

__all__ = ["LightningTrainer"]
