"""What is measured, and its names."""

from fedlit.evaluation.evaluation import Evaluation, client_rows, global_rows, has_personal_models

__all__ = ["Evaluation", "client_rows", "global_rows", "has_personal_models"]
