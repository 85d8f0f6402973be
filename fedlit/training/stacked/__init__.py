"""trainer=vectorized: many clients as one stacked computation."""

from fedlit.training.stacked.trainer import VectorizedTrainer

__all__ = ["VectorizedTrainer"]
