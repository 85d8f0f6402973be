"""Logistic regression under homomorphic encryption (Hardy et al. 2017, "Private federated learning on vertically
partitioned data via entity resolution and additively homomorphic encryption", arXiv 1711.10677)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlit.vertical.linear.encrypted_descent import EncryptedDescent
from fedlit.vertical.measures import MEASURES
from fedlit.vertical.protocol import Task


@dataclass(frozen=True)
class LogisticHe(EncryptedDescent):
    """The logistic loss log(1 + exp(-y u)) of y = -1 or 1, as its Taylor polynomial at u = 0, because a cipher adds and
    multiplies only: log 2 - y u / 2 + u^2 / 8 (the paper's equation 6). So d_i = u_i / 4 - y_i / 2.

    The paper's mask hides which people the parties share; parties here have aligned their people and both know them.

    A protocol with the formulas, the steps and what each party learns: `EncryptedDescent`.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("binary",)
    measures: ClassVar[Mapping[Task, tuple[str, ...]]] = {"binary": MEASURES["binary"]}
    curvature: ClassVar[float] = 0.25
    constant: ClassVar[float] = math.log(2) - 0.5  # 2 d^2 = u^2 / 8 - y u / 2 + 1/2

    def targets(self, target: np.ndarray) -> np.ndarray:
        return target - 0.5

    def predictions(self, target: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return scores
