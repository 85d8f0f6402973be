"""trainer=lightning: each client has a `Trainer.fit` of its own."""

from fedlit.training.lightning.trainer import LightningTrainer

__all__ = ["LightningTrainer"]
