"""Results that are known without a computer, and limits in which a rule is the mean or its inner rule."""

from __future__ import annotations

import math

import pytest
import torch

from fedlit.messages.reductions import (
    Bucketing,
    Bulyan,
    CenteredClipping,
    Dnc,
    FoolsGold,
    GeometricMedian,
    Krum,
    Median,
    MultiKrum,
    Nnm,
    NormBound,
    Reduction,
    TrimmedMean,
)
from tests.messages.reductions.rounds import LAYOUT, message, reduce, vector


def column(*values: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype)[:, None]


def test_krum_takes_the_message_with_close_neighbours_and_excludes_the_others() -> None:
    reduced = reduce(Krum(1), column(0, 1, 2.1, 3.3, 100))
    assert reduced.message["delta"].weights.tolist() == [1.0]
    assert reduced.excluded == [0, 2, 3, 4] and reduced.report == {"selected": 1}


def test_of_equal_scores_the_client_with_the_smaller_number_is_taken() -> None:
    assert vector(Krum(0), column(1, -1, 1, -1), clients=[7, 3, 5, 1]).tolist() == [-1.0]


def test_multi_krum_takes_the_mean_of_the_lowest_scores() -> None:
    x = column(0, 1, 2.1, 3.3, 100)
    assert vector(MultiKrum(1), x).tolist() == pytest.approx([(0 + 1 + 2.1 + 3.3) / 4])
    assert reduce(MultiKrum(1), x).excluded == [4]
    assert vector(MultiKrum(1, m=2), x).tolist() == pytest.approx([(1 + 2.1) / 2])


def test_bulyan_takes_the_values_around_the_median_of_the_chosen() -> None:
    # the message at 100 is never chosen, and the last of 0 and 6 is left out; three values around the median remain
    assert vector(Bulyan(1), column(0, 1, 2.1, 3.3, 4.6, 6, 100)).tolist() == pytest.approx([(2.1 + 1 + 3.3) / 3])


def test_the_trimmed_mean_of_small_values_and_two_huge_ones_is_in_the_honest_range() -> None:
    honest = [0.0103 + 1e-6 * i for i in range(9)]
    result = float(vector(TrimmedMean(2), column(*honest, 1e8, 1e8)))
    assert column(*honest)[0] <= result <= column(*honest)[-1]
    assert result == pytest.approx(sum(honest[2:]) / 7, rel=1e-6)


@pytest.mark.parametrize("size", [9e9, 1e30, 3e38])
def test_the_geometric_median_with_a_huge_first_message_is_among_the_honest(size: float) -> None:
    honest = [0.1 * i for i in range(10)]
    result = float(vector(GeometricMedian(), column(size, *honest)))
    assert honest[4] <= result <= honest[6]
    for steps in (1, 2):  # also the start is
        assert honest[0] <= float(vector(GeometricMedian(steps), column(size, *honest))) <= honest[-1]
    equal = vector(GeometricMedian(), column(size, *[0.25] * 10))
    assert equal.tolist() == [0.25]


def test_the_geometric_median_of_an_equilateral_triangle_is_its_centre() -> None:
    triangle = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, math.sqrt(3) / 2]], dtype=torch.float64)
    assert vector(GeometricMedian(), triangle).tolist() == pytest.approx([0.5, math.sqrt(3) / 6], abs=1e-9)


def test_the_median_of_an_even_number_is_between_the_two_in_the_middle() -> None:
    assert vector(Median(), column(1, 2, 4, 100)).tolist() == [3.0]
    assert vector(Median(), column(100, 1, 2)).tolist() == [2.0]


def test_centred_clipping_moves_the_centre_by_tau_at_most_and_keeps_it() -> None:
    rule = CenteredClipping(tau=1.0)
    first = reduce(rule, column(10, 20, -0.5, dtype=torch.float64))
    assert first.message["delta"].weights.tolist() == pytest.approx([(1 + 1 - 0.5) / 3])
    second = reduce(rule, column(10, 20, 0.5, dtype=torch.float64), state=first.state, number=2)
    assert second.message["delta"].weights.tolist() == pytest.approx([0.5 + (1 + 1 + 0) / 3])
    assert second.state == {"weights": {"centre": {"delta.weights": second.message["delta"].weights}}}
    assert second.report["mean_scale"] == pytest.approx((1 / 9.5 + 1 / 19.5 + 1) / 3)


def test_a_norm_bound_scales_long_messages_down() -> None:
    x = torch.tensor([[3.0, 4.0], [0.6, 0.8], [0.0, 10.0]])
    assert vector(NormBound(2.5), x).tolist() == pytest.approx([(1.5 + 0.6) / 3, (2 + 0.8 + 2.5) / 3])
    assert vector(NormBound(), x).tolist() == pytest.approx([(3 + 0.6) / 3, (4 + 0.8 + 5) / 3])


def test_foolsgold_gives_sybils_no_weight() -> None:
    x = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [0.5, 0.5, 0.5]])
    rule = FoolsGold()
    rule.setup(LAYOUT, 5)
    reduced = reduce(rule, x)
    assert reduced.excluded == [2, 3, 4]
    assert reduced.message["delta"].weights.tolist() == [0.5, 0.5, 0.0]
    history = reduced.state["weights"]["history"]["delta.weights"]  # type: ignore[index]
    again = reduce(rule, x[[1, 0]], clients=[1, 3], state=reduced.state, number=2)
    assert torch.equal(history, x)
    kept = again.state["weights"]["history"]["delta.weights"]  # type: ignore[index]
    assert kept.tolist() == [[1, 0, 0], [0, 2, 0], [1, 1, 1], [3, 2, 2], [0.5, 0.5, 0.5]]


def test_divide_and_conquer_leaves_out_what_stands_out() -> None:
    reduced = reduce(Dnc(2), torch.tensor([[0.1, 0], [50, 50], [0, 0.1], [-0.1, 0], [50, 51], [0, -0.1]]))
    assert reduced.excluded == [1, 4]
    assert reduced.message["delta"].weights.tolist() == pytest.approx([0, 0], abs=1e-7)


X = torch.linspace(-3, 5, 33, dtype=torch.float64).reshape(11, 3) ** 2


@pytest.mark.parametrize(
    "rule",
    [
        TrimmedMean(0),
        MultiKrum(0),
        MultiKrum(3, m=11),
        Bulyan(0),
        NormBound(math.inf),
        NormBound(1e6),
        CenteredClipping(math.inf),
        CenteredClipping(1e6, 4),
        Dnc(0),
        Nnm(0, Krum(2)),
        Nnm(0),
        Nnm(0, GeometricMedian()),
        Bucketing(1),
        Bucketing(11, Median()),
        GeometricMedian(nu=1e9),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_a_rule_that_cuts_nothing_is_the_mean(rule: Reduction) -> None:
    assert vector(rule, X).tolist() == pytest.approx(X.mean(0).tolist(), rel=1e-9)


@pytest.mark.parametrize("inner", [Median(), Krum(2), GeometricMedian(), TrimmedMean(3), CenteredClipping(1.0)])
def test_buckets_of_one_are_the_inner_rule(inner: Reduction) -> None:
    reduced, alone = reduce(Bucketing(1, inner), X), reduce(inner, X)
    assert torch.equal(reduced.message["delta"].weights, alone.message["delta"].weights)
    assert reduced.excluded == alone.excluded and reduced.report == alone.report


def statistics_of(rule: Reduction) -> float:
    """One client, whose weights Krum takes, sends -1000 as its only statistic."""
    x = column(0, 0.1, 0.25, 0.45, 5, dtype=torch.float64)
    reduced = reduce(rule, message(x, column(1, -1000, 1.25, 1.45, 1.5, dtype=torch.float64)))
    assert not isinstance(rule, Krum) or reduced.message["delta"].weights.tolist() == [0.1]
    return float(reduced.message["delta"].statistics)


def test_statistics_follow_the_weights_or_are_judged_by_themselves() -> None:
    assert statistics_of(Krum(1)) == -1000
    assert statistics_of(Krum(1, statistics="own")) == 1.45
    assert statistics_of(Nnm(1, Krum(1))) < -200
    assert statistics_of(Nnm(1, Krum(1, statistics="own"), statistics="own")) > 1
    assert statistics_of(Median()) == 1.25
    assert statistics_of(GeometricMedian(statistics="own")) > 1
    assert statistics_of(NormBound(statistics="own")) > -1


def test_statistics_and_numbers_are_scaled_or_averaged() -> None:
    x = torch.tensor([[3.0, 4.0], [0.3, 0.4]], dtype=torch.float64)
    s, steps = column(10, 20, dtype=torch.float64), column(1, 4, dtype=torch.float64)
    clipped = reduce(NormBound(2.5), message(x, s, steps=steps)).message
    assert clipped["delta"].statistics.tolist() == pytest.approx([(0.5 * 10 + 20) / 2])
    assert clipped["steps"].tolist() == pytest.approx([(0.5 * 1 + 4) / 1.5])
    centred = reduce(CenteredClipping(2.5), message(x, s, steps=steps)).message
    assert centred["delta"].statistics.tolist() == pytest.approx([(0.5 * 10 + 20) / 1.5])
    assert centred["steps"].tolist() == pytest.approx([(0.5 * 1 + 4) / 1.5])


def test_one_client_alone_is_taken_as_it_is_where_the_rule_allows_it() -> None:
    for rule in (Median(), TrimmedMean(0), GeometricMedian(), NormBound(), Nnm(0), Bucketing(2)):
        assert vector(rule, column(3.5)).tolist() == [3.5]


def test_a_vector_beside_the_models_that_is_as_long_as_the_model_is_judged_and_scaled_with_them() -> None:
    """As SCAFFOLD's change of a control variate, c."""
    x, c = torch.zeros(5, 4), torch.zeros(5, 4)
    x[:, 0], c[:, 1] = torch.tensor([0, 1, 2.1, 3.3, 4.0]), torch.tensor([0, 100, 0, 0, 3.0])
    rules = (Krum(1), NormBound(5.0))
    for rule in rules:
        rule.setup(LAYOUT, 5)
    assert reduce(rules[0], message(x, c=c)).excluded == [0, 1, 3, 4]
    scaled = reduce(rules[1], message(x, c=c)).message["c"]
    assert scaled.tolist() == pytest.approx([0, (100 * 5 / (100**2 + 1) ** 0.5 + 3) / 5, 0, 0])
