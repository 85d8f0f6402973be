from fedlit.evaluation.evaluation import Evaluation

__all__ = ["Evaluation"]
