"""Trees of all parties: as XGBoost and a few lines of exact arithmetic grow them on the joined columns."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from fedlit.vertical.secureboost import SecureBoost
from tests.vertical.secureboost.samples import SPLIT, columns
from tests.vertical.secureboost.stepped import Run, run, tables


def exact_tree(table: np.ndarray, g: list[Fraction], h: list[Fraction], rows: list[int], depth: int) -> object:
    """(column, threshold, left, right), or the value of a leaf; lambda 1, at least 1 of h on each side."""

    def score(people: list[int]) -> Fraction:
        return sum(g[i] for i in people) ** 2 / (sum(h[i] for i in people) + 1)

    best, found_at = Fraction(1, 10**6), None
    if depth:
        for column in range(table.shape[1]):
            for threshold in sorted(set(table[rows, column])):
                left = [i for i in rows if table[i, column] <= threshold]
                right = [i for i in rows if table[i, column] > threshold]
                if sum(h[i] for i in left) < 1 or sum(h[i] for i in right) < 1:
                    continue
                gain = score(left) + score(right) - score(rows)
                if gain > best:
                    best, found_at = gain, (column, threshold, left, right)
    if found_at is None:
        return float(-sum(g[i] for i in rows) / (sum(h[i] for i in rows) + 1))
    column, threshold, left, right = found_at
    return column, threshold, exact_tree(table, g, h, left, depth - 1), exact_tree(table, g, h, right, depth - 1)


def joined_tree(result: Run, number: int, lr: float, node: int = 0) -> object:
    """The guest's tree with the hosts' thresholds put in, columns counted over all parties."""
    names = list(SPLIT)
    tree = {name: table[number] for name, table in result.states["guest"]["joint"]["trees"].items()}
    owner, reference = int(tree["party"][node]), int(tree["reference"][node])
    if owner < 0:
        return float(tree["leaf"][node]) / lr
    if owner == 0:
        column, threshold = reference, float(tree["threshold"][node])
    else:
        records = result.states[names[owner]]["records"]
        column, threshold = int(records["feature"][reference]), float(records["threshold"][reference])
    children = [joined_tree(result, number, lr, 2 * node + side) for side in (1, 2)]
    return SPLIT[names[owner]][column], threshold, *children


def same(tree: object, expected: object) -> bool:
    if isinstance(tree, tuple) and isinstance(expected, tuple):
        return tree[:2] == expected[:2] and all(same(a, b) for a, b in zip(tree[2:], expected[2:], strict=True))
    return tree == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_first_tree_of_classes_is_the_exact_one(seed: int) -> None:
    table, target = columns(90, seed, missing=0)
    result = run(SecureBoost(depth=3), tables(table, table, target, target, SPLIT), 1)
    g, h = [Fraction(1, 2) - int(y) for y in target], [Fraction(1, 4)] * 90
    assert same(joined_tree(result, 0, 0.3), exact_tree(table, g, h, list(range(90)), 3))


def test_the_first_tree_of_values_is_the_exact_one() -> None:
    table, _ = columns(64, 5, missing=0)
    target = np.rint(100 * table[:, 0] - 37 * table[:, 3] * table[:, 4] + 5 * table[:, 1])
    target[0] -= target.sum() % 64  # a whole mean
    result = run(SecureBoost(depth=3), tables(table, table, target, target, SPLIT), 1, task="regression")
    mean = int(target.mean())
    expected = exact_tree(table, [Fraction(mean - int(y)) for y in target], [Fraction(1)] * 64, list(range(64)), 3)
    assert same(joined_tree(result, 0, 0.3), expected)


@pytest.mark.parametrize("missing", [0, 0.2])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_predictions_are_those_of_xgboost(task: str, missing: float) -> None:
    """With all values as bins, and missing values on the side that gains more."""
    xgboost = pytest.importorskip("xgboost")
    table, target = columns(600, 3, missing)
    if task == "regression":
        target = np.nan_to_num(table[:, 0]) ** 2 - 3 * np.nan_to_num(table[:, 2]) + target
    data = tables(table[:400], table[400:], target[:400], target[400:], SPLIT)
    result = run(SecureBoost(depth=3, min_child_weight=4), data, 5, task=task)
    objective = {"binary": "binary:logistic", "regression": "reg:squarederror"}[task]
    base = 0.5 if task == "binary" else target[:400].mean()
    settings = {"max_depth": 3, "eta": 0.3, "lambda": 1, "min_child_weight": 4, "tree_method": "hist", "nthread": 1}
    trained = xgboost.train(
        settings | {"objective": objective, "base_score": base}, xgboost.DMatrix(table[:400], target[:400]), 5
    )
    expected = trained.predict(xgboost.DMatrix(table[400:]), output_margin=True)
    np.testing.assert_allclose(result.states["guest"]["joint"]["test_margin"].numpy(), expected, rtol=1e-4, atol=1e-5)
