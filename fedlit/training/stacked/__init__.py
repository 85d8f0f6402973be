"""trainer=vectorized: many clients as one stacked computation.

README.md in this folder says what a stack is, and in which order to read the files."""

from fedlit.training.stacked.trainer import VectorizedTrainer

__all__ = ["VectorizedTrainer"]
