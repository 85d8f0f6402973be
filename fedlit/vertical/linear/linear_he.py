"""Linear regression under homomorphic encryption (Yang, Liu, Chen, Tong 2019, "Federated Machine Learning: Concept and
Applications", tables 1 and 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedlit.vertical.linear.encrypted_descent import EncryptedDescent
from fedlit.vertical.linear.standardised import standardised
from fedlit.vertical.measures import MEASURES
from fedlit.vertical.protocol import Task


@dataclass(frozen=True)
class LinearHe(EncryptedDescent):
    """Least squares: the loss is mean_i (u_i - t_i)^2 / 2 + l2 / 2 |w|^2, and d_i = u_i - t_i. t is the target that the
    guest has standardised. The paper's loss has no mean and no 1/2: its lr is ours / (2 N), its lambda ours times 2 N.
    As in its table 1, the parties mask their gradients by R before C opens them.

    A protocol with the formulas, the steps and what each party learns: `EncryptedDescent`.
    """

    tasks: ClassVar[tuple[Task, ...]] = ("regression",)
    measures: ClassVar[Mapping[Task, tuple[str, ...]]] = {"regression": MEASURES["regression"]}
    curvature: ClassVar[float] = 1.0
    constant: ClassVar[float] = 0.0

    def targets(self, target: np.ndarray) -> np.ndarray:
        return standardised(target, target)[0]

    def predictions(self, target: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return target.mean() + target.std() * scores
