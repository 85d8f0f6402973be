"""All that measures: a module on samples, a round, a run."""

from fedlit.evaluation.evaluation import Evaluation

__all__ = ["Evaluation"]
