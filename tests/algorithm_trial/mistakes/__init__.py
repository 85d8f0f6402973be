"""Algorithms with one mistake each, by its kind, and what the trial has to say of it."""

from tests.algorithm_trial.mistakes import arguments, fits, kept_outside, results, weightings
from tests.algorithm_trial.mistakes.noted import MISTAKES, STACKED_ONLY

__all__ = ["MISTAKES", "STACKED_ONLY", "arguments", "fits", "kept_outside", "results", "weightings"]
