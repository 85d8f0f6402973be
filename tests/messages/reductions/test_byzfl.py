"""Against byzfl, another library of robust rules, where it is installed.

Not Krum and Multi-Krum, which take n - f - 1 neighbours there, and no messages that are not finite.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedlit.messages.reductions import CenteredClipping, GeometricMedian, Median, Nnm, Reduction, TrimmedMean
from tests.messages.reductions.rounds import reduce, vector

byzfl = pytest.importorskip("byzfl", exc_type=ImportError)


def rows(n: int) -> np.ndarray:
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, 7))
    x[: n // 4] += 30
    return x


@pytest.mark.parametrize("n", [9, 12])
@pytest.mark.parametrize(
    ("rule", "theirs"),
    [
        (Median(), lambda: byzfl.Median()),
        (TrimmedMean(3), lambda: byzfl.TrMean(3)),
        (TrimmedMean(0), lambda: byzfl.TrMean(0)),
        (GeometricMedian(3000), lambda: byzfl.GeometricMedian(nu=1e-7, T=3000)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Reduction) else "",
)
def test_a_rule_gives_the_same(rule: Reduction, theirs, n: int) -> None:  # type: ignore[no-untyped-def]
    x = rows(n)
    np.testing.assert_allclose(vector(rule, torch.from_numpy(x)).numpy(), theirs()(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("tau", "iterations"), [(1.0, 1), (5.0, 4), (1e6, 1)])
def test_centred_clipping_gives_the_same_over_rounds(tau: float, iterations: int) -> None:
    rule, theirs = CenteredClipping(tau, iterations), byzfl.CenteredClipping(L=iterations, tau=tau)
    state = None
    for n in (9, 10, 11):
        reduced = reduce(rule, torch.from_numpy(rows(n)), state=state)
        np.testing.assert_allclose(reduced.message["delta"].weights.numpy(), theirs(rows(n)), rtol=1e-9, atol=1e-9)
        state = reduced.state


@pytest.mark.parametrize("f", [0, 1, 4])
def test_nearest_neighbour_mixing_gives_the_same(f: int) -> None:
    x = rows(9)
    theirs = byzfl.NNM(f)(x)
    given = vector(Nnm(f, Median()), torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(given, np.median(theirs, axis=0), rtol=1e-9, atol=1e-12)
