"""Paired tests by seed against the best row or a named baseline, with Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from scipy import stats

from fedlit.errors import InputError
from fedlit.plurals import counted
from fedlit.report.columns import Column
from fedlit.report.grid import Grid
from fedlit.report.results import Results, best_row, mean_and_std, problems

LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """A row against another one, over the seeds that both have.

    Attributes:
        difference: mean over seeds of the row's value minus the other's.
        std: of these differences (ddof 1).
        p: two-sided; NaN where no test is possible.
        p_holm: corrected for all tests of the metric in the report.
    """

    metric: str
    row: int
    against: int
    seeds: int
    difference: float
    std: float
    p: float
    p_holm: float = math.nan


def comparisons(
    grid: Grid, column: Column, cells: Results, baseline: dict[str, str], test: str, notes: list[str]
) -> list[Comparison]:
    """The tests of one metric; empty if nothing can be compared.

    Args:
        baseline: swept key -> value of the rows that others are compared with; empty: the best ones.

    Raises:
        InputError: no row has the values of the baseline.
    """
    pairs = _named_pairs(grid, baseline) if baseline else _best_pairs(grid, column, cells)
    tests = [_compare(cells, column, row, against, test) for row, against in pairs]
    tests = holm(tests)
    notes += _doubts(grid, column, tests, test)
    return tests


def holm(tests: Sequence[Comparison]) -> list[Comparison]:
    """With Holm's step-down correction over all tests that have a p-value (S. Holm, 1979).

    Of m sorted p-values, the corrected i-th is the largest of (m - j + 1) p_j over j <= i, at most 1.
    """
    order = sorted((i for i in range(len(tests)) if math.isfinite(tests[i].p)), key=lambda i: tests[i].p)
    corrected, largest = list(tests), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * tests[i].p))
        corrected[i] = replace(tests[i], p_holm=largest)
    return corrected


def _best_pairs(grid: Grid, column: Column, cells: Results) -> list[tuple[int, int]]:
    pairs = []
    for rows in problems(grid):
        best = best_row(cells, column, rows)
        pairs += (
            []
            if best is None
            else [(row, best) for row in rows if row != best and len(cells[row, column.metric].values)]
        )
    return pairs


def _named_pairs(grid: Grid, baseline: dict[str, str]) -> list[tuple[int, int]]:
    """Each row with the row of the baseline's values that has the most other values in common with it, among those
    of the same problem."""
    records = [dict(zip(grid.keys, group.values, strict=True)) for group in grid.groups]
    named = [i for i, record in enumerate(records) if baseline.items() <= record.items()]
    if not named:
        written = ",".join(f"{key}={value}" for key, value in baseline.items())
        raise InputError(
            f"baseline={written}: no row has all of these values; the first one is {grid.name(grid.groups[0])}."
        )
    fixed = [_without(group.problem, baseline) for group in grid.groups]
    pairs = []
    for row, record in enumerate(records):
        candidates = [i for i in named if fixed[i] == fixed[row]]
        if row not in named and candidates:
            common = {i: sum(records[i][key] == record[key] for key in grid.keys) for i in candidates}
            pairs.append((row, max(candidates, key=lambda i: common[i])))
    return pairs


def _without(problem: Mapping[str, str], keys: Iterable[str]) -> dict[str, str]:
    """A problem without the settings of the keys, such as `partition.alpha` of `partition`."""
    return {k: v for k, v in problem.items() if not any(f"{k}.".startswith(f"{key}.") for key in keys)}


def _compare(cells: Results, column: Column, row: int, against: int, test: str) -> Comparison:
    values, others = cells[row, column.metric].values, cells[against, column.metric].values
    seeds = values.index.intersection(others.index)
    differences = (values[seeds] - others[seeds]).to_numpy(dtype=float)
    n = len(differences)
    mean, std = mean_and_std(differences)
    return Comparison(column.metric, row, against, n, mean, std, _p_value(differences, test))


def _p_value(differences: np.ndarray, test: str) -> float:
    """1 for equal results. NaN for fewer than two seeds, and for a t test of differences that are all the same."""
    if len(differences) < 2:
        return math.nan
    if not differences.any():
        return 1.0
    if test == "wilcoxon":
        return float(stats.wilcoxon(differences, method="auto").pvalue)
    if mean_and_std(differences)[1] == 0:
        return math.nan
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def least_seeds(tests: int) -> int:
    """The least number of seeds with which a test of signs and ranks alone can be significant after Holm's correction:
    the smallest n with 2 / 2^n * tests <= 0.05.

    >>> least_seeds(1), least_seeds(4)
    (6, 8)
    """
    return next(n for n in count(1) if 2.0 / 2**n * tests <= LEVEL)


def _doubts(grid: Grid, column: Column, tests: Sequence[Comparison], test: str) -> list[str]:
    if all(len(group.runs) <= 1 for group in grid.groups):
        return []  # a note on single seeds says that there is no test
    notes = []
    for comparison in tests:
        names = " and ".join(grid.name(grid.groups[row]) for row in (comparison.row, comparison.against))
        if comparison.seeds < 2:
            notes.append(f"{names}: {column.metric} cannot be tested, they have fewer than two seeds in common.")
        elif not math.isfinite(comparison.p):
            notes.append(f"{names}: {column.metric} differs by the same amount in all seeds, so no t test is possible.")
    tested = [comparison.seeds for comparison in tests if math.isfinite(comparison.p)]
    needed = least_seeds(max(1, len(tested)))
    if tested and min(tested) < needed:
        limit = (
            "no result can be significant"
            if test == "wilcoxon"
            else "significance rests on the assumption of normal differences; by signs and ranks alone (test=wilcoxon) "
            "no result could be significant"
        )
        notes.append(
            f"{column.metric}: with {counted(min(tested), 'seed')} and {counted(len(tested), 'test')} after Holm's "
            f"correction {limit} at {LEVEL:g}; that needs {needed} seeds."
        )
    return notes
