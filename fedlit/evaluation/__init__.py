"""Measuring: a module on samples, the clients of a round, the rounds of a run."""

from fedlit.evaluation.evaluation import Evaluation

__all__ = ["Evaluation"]
