"""Linear models of columns that several parties hold. Read `encrypted_descent`, then `host`, `guest`, `coordinator`."""

from fedlit.vertical.linear.linear_he import LinearHe
from fedlit.vertical.linear.logistic_he import LogisticHe

__all__ = ["LinearHe", "LogisticHe"]
