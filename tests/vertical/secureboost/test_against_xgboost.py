"""The area under the ROC curve of several parties is that of XGBoost on all columns, at the same settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.metrics import roc_auc_score

from fedlit.vertical.secureboost import SecureBoost
from tests.vertical.secureboost.stepped import run, tables

CREDIT_DEFAULT = Path(os.environ.get("FEDLIT_DATA", "data")) / "credit_default.csv"


def xgboost_auc(train: np.ndarray, test: np.ndarray, target: np.ndarray, test_target: np.ndarray, trees: int) -> float:
    xgboost = pytest.importorskip("xgboost")
    settings: dict[str, Any] = {"max_depth": 5, "eta": 0.3, "lambda": 1, "max_bin": 32, "tree_method": "hist"}
    settings |= {"objective": "binary:logistic", "base_score": 0.5, "nthread": 1}
    model = xgboost.train(settings, xgboost.DMatrix(train, target), trees)
    return float(roc_auc_score(test_target, model.predict(xgboost.DMatrix(test), output_margin=True)))


def test_made_classes() -> None:
    table, target = make_classification(5000, 10, n_informative=8, flip_y=0.1, random_state=0)
    arrays = table[:2000], table[2000:], target[:2000].astype(float), target[2000:].astype(float)
    result = run(SecureBoost(), tables(*arrays, {"guest": range(5), "host": range(5, 10)}), 10)
    assert result.rows[-1]["test"]["auc"] == pytest.approx(xgboost_auc(*arrays, 10), abs=0.005)


@pytest.mark.slow
@pytest.mark.skipif(not CREDIT_DEFAULT.exists(), reason="FEDLIT_DATA has no credit_default.csv")
def test_credit_default() -> None:
    """The figures of docs/vertical.md."""
    names = CREDIT_DEFAULT.open().readline().strip().split(",")
    table = np.loadtxt(CREDIT_DEFAULT, delimiter=",", skiprows=1)
    pay = [place for place, name in enumerate(names) if name in [f"PAY_{month}" for month in (0, 2, 3, 4, 5, 6)]]
    rest = [place for place in range(1, len(names) - 1) if place not in pay]
    order = np.random.default_rng(0).permutation(len(table))
    train, test = table[order[:20000]], table[order[20000:]]
    arrays = train, test, train[:, -1], test[:, -1]

    def auc(**split: list[int]) -> float:
        return run(SecureBoost(), tables(*arrays, split), 20).rows[-1]["test"]["auc"]

    federated = auc(guest=rest, host=pay)
    assert federated == auc(guest=rest + pay) == pytest.approx(0.7797, abs=1e-4)
    assert auc(guest=rest) == pytest.approx(0.7252, abs=1e-4)
    assert auc(guest=pay) == pytest.approx(0.7427, abs=1e-4)
    columns = rest + pay
    assert federated == pytest.approx(xgboost_auc(train[:, columns], test[:, columns], *arrays[2:], 20), abs=0.005)

    leaks = {}
    for guest_first in (0, 1):
        options = SecureBoost(leak="instance_space", guest_first=guest_first)
        facts = run(options, tables(*arrays, {"guest": rest, "host": pay}), guest_first + 1).rows[-1]["guest"]
        leaks[guest_first] = {name: facts[f"leak/host/{name}_auc"] for name in ("nodes", "linear", "forest")}
    assert leaks[0] == pytest.approx({"nodes": 0.743, "linear": 0.666, "forest": 0.724}, abs=2e-3)
    assert leaks[1]["nodes"] == pytest.approx(0.737, abs=2e-3)
