"""Measuring: a module on samples, the clients of a round, the rounds of a run.

`Evaluation` is imported at its first use, because it needs torch, and readers of directions and headlines do not.
`__init__.pyi` names it for type checkers.
"""

__all__ = ["Evaluation"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fedlit.evaluation.evaluation import Evaluation

    return Evaluation
