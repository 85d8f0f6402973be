"""What is refused before the run, and rounds in which too few messages arrive."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fedlit.aggregators import FedAvg
from fedlit.errors import InputError
from fedlit.messages.composition import chosen_reduction
from fedlit.messages.reductions import (
    All,
    Bucketing,
    Bulyan,
    CenteredClipping,
    Dnc,
    Flame,
    FlTrust,
    FoolsGold,
    GeometricMedian,
    Krum,
    Mean,
    Median,
    MultiKrum,
    Nnm,
    NormBound,
    Reduction,
    TrimmedMean,
)
from fedlit.model_vectors import Model
from tests.messages.reductions.rounds import LAYOUT, message, plan, reduce


@pytest.mark.parametrize(
    ("rule", "fits", "sentence"),
    [
        (
            TrimmedMean(2),
            5,
            "TrimmedMean with f=2 needs 5 messages in a round \\(at least 2 f \\+ 1\\), and a round has 4",
        ),
        (
            Krum(2),
            7,
            "Krum with f=2 needs 7 messages .* and a round has 6 of them; write reduction.f=1, or ask more clients",
        ),
        (MultiKrum(1), 5, "MultiKrum with f=1 needs 5 .* has 4 of them; write reduction.f=0"),
        (Bulyan(1), 7, "Bulyan with f=1 needs 7 messages .*at least 4 f \\+ 3"),
        (Bulyan(0), 3, "Bulyan with f=0 needs 3 .* has 2 of them; ask more clients"),
        (Dnc(1), 3, "Dnc with f=1 needs 3"),
        (Dnc(1, c=4), 5, "Dnc with f=1 needs 5 .*more than c f"),
        (Nnm(3), 7, "Nnm with f=3 needs 7 .* write reduction.f=2"),
        (Bucketing(2, Krum(1)), 9, "Krum with f=1 needs 5 messages .* makes 4 of them"),
        (Nnm(1, Bulyan(1)), 7, "Bulyan with f=1 needs 7"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Reduction) else None,
)
def test_a_rule_for_more_malicious_clients_than_a_round_allows_is_refused(
    rule: Reduction, fits: int, sentence: str
) -> None:
    rule.check(plan(fits))
    with pytest.raises(InputError, match=sentence):
        rule.check(plan(fits - 1))


@pytest.mark.parametrize(
    ("rule", "n"),
    [(TrimmedMean(2), 4), (Krum(1), 4), (Bulyan(1), 6), (Dnc(2), 4), (Nnm(2), 4), (Bucketing(2, Krum(1)), 8)],
    ids=lambda value: type(value).__name__ if isinstance(value, Reduction) else None,
)
def test_a_round_with_too_few_messages_reduces_nothing_and_warns(
    rule: Reduction, n: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        reduced = reduce(rule, torch.randn(n, 3), number=7)
    assert reduced.message == {} and reduced.state is None
    (line,) = [record.getMessage() for record in caplog.records]
    name = "Krum" if isinstance(rule, Bucketing) else type(rule).__name__
    assert line.startswith(f"round 7: {name} reduces nothing, and the server keeps its state: ")
    assert f"{4 if isinstance(rule, Bucketing) else n} messages arrived" in line
    caplog.clear()
    assert reduce(rule, torch.randn(rule_least(rule), 3)).message
    assert not caplog.records


def rule_least(rule: Any) -> int:
    return 9 if isinstance(rule, Bucketing) else rule.least(rule.f)


@pytest.mark.parametrize("rule", [Median(), Krum(0), FoolsGold(), Nnm(0)], ids=lambda rule: type(rule).__name__)
def test_a_round_without_messages_reduces_nothing_without_a_warning(
    rule: Reduction, caplog: pytest.LogCaptureFixture
) -> None:
    assert reduce(rule, torch.zeros(0, 3)).message == {}
    assert not caplog.records


@pytest.mark.parametrize(
    "rule",
    [Krum(0), GeometricMedian(), CenteredClipping(), NormBound(), FoolsGold(), Nnm(0), Bucketing(1, Krum(0))],
    ids=lambda rule: type(rule).__name__,
)
def test_rules_by_client_need_a_model_in_the_message(rule: Reduction) -> None:
    no_model = plan(algorithm="Mine", message={"gradient": torch.zeros(3), "d.weights": torch.zeros(0)})
    inner = getattr(rule, "inner", rule) if isinstance(rule, Bucketing) else rule
    words = f"^reduction: {type(inner).__name__} works on the weights of models, and Mine sends none, only gradient, d"
    with pytest.raises(InputError, match=words):
        rule.check(no_model)
    Median().check(no_model)
    Bucketing(2, Median()).check(no_model)


@pytest.mark.parametrize("rule", [FlTrust(), Flame()], ids=lambda rule: type(rule).__name__)
def test_rules_that_know_the_received_model_need_updates_of_all_weights(rule: Reduction) -> None:
    rule.check(plan(layout=LAYOUT, server_samples=9))
    for message_, layout in (
        ({"delta.weights": torch.zeros(3)}, LAYOUT),
        ({"delta.weights": torch.zeros(4), "control.weights": torch.zeros(4)}, LAYOUT),
        ({"model.weights": torch.zeros(4)}, LAYOUT),
        ({"delta.weights": torch.zeros(4), "gain": torch.zeros(1)}, LAYOUT),
    ):
        with pytest.raises(InputError, match=f"{type(rule).__name__} judges the changes of whole models"):
            rule.check(plan(layout=layout, server_samples=9, message=message_))
    with pytest.raises(InputError, match="is no such change; choose aggregator=fedavg"):
        rule.check(plan(server_samples=9, clients_step=False))
    with pytest.raises(InputError, match="needs the model that clients receive, and this algorithm broadcasts centers"):
        server = SimpleNamespace(fit=None)
        reduce(
            rule, torch.randn(5, 4), broadcast={"centers": Model(torch.zeros(4), torch.zeros(0))}, server_client=server
        )


def test_fltrust_needs_samples_of_the_server() -> None:
    with pytest.raises(InputError, match="trains on the server's own samples; write server_samples=100"):
        FlTrust().check(plan(layout=LAYOUT))
    with pytest.raises(InputError, match="trains on the server's own samples; write server_samples=100"):
        reduce(FlTrust(), torch.randn(5, 4), broadcast={"model": Model(torch.zeros(4), torch.zeros(0))})


def test_multi_krum_takes_no_more_messages_than_are_honest() -> None:
    MultiKrum(2, m=8).check(plan(10))
    with pytest.raises(InputError, match="m=9 and f=2 takes more messages than are honest among .* reduction.m=8"):
        MultiKrum(2, m=9).check(plan(10))


class Blind(Mean):
    blind = True


def test_wrappers_need_an_inner_rule_that_reduces_single_messages() -> None:
    for wrapper in (Bucketing, Nnm):
        with pytest.raises(InputError, match=f"{wrapper.__name__} gives means .* and All does not reduce; write red"):
            wrapper(inner=All())
        with pytest.raises(InputError, match="and Blind sees sums only"):
            wrapper(inner=Blind())
    with pytest.raises(InputError, match="FoolsGold follows each client over the rounds, and under Bucketing it sees"):
        Bucketing(2, FoolsGold())
    Nnm(1, FoolsGold())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Krum(-1), "f=-1 is not allowed; write an integer of at least 0"),
        (lambda: TrimmedMean(1.5), "f=1.5 is not allowed"),
        (lambda: Bulyan(True), "f=True is not allowed"),
        (lambda: MultiKrum(1, m=0), "m=0 is not allowed; write an integer of at least 1"),
        (lambda: Krum(1, "both"), "statistics='both' is not allowed; write same or own"),
        (lambda: Nnm(1, statistics="none"), "statistics='none' is not allowed"),
        (lambda: NormBound(0), "tau=0 is not allowed; write a number above 0, or null for the median norm"),
        (lambda: CenteredClipping(-1.0), "tau=-1.0 is not allowed"),
        (lambda: CenteredClipping(1.0, 0), "iterations=0 is not allowed"),
        (lambda: GeometricMedian(nu=0.0), "nu=0.0 is not allowed"),
        (lambda: FoolsGold(0), "kappa=0 is not allowed"),
        (lambda: Flame(-0.1), "lam=-0.1 is not allowed"),
        (lambda: Dnc(coordinates=0), "coordinates=0 is not allowed"),
        (lambda: Bucketing(0), "s=0 is not allowed"),
    ],
)
def test_values_of_options_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make()


def test_messages_of_unequal_lengths_are_refused() -> None:
    rule = Krum(0).start({}, reduce_round(), {})
    with pytest.raises(
        InputError, match="sent of the messages is a list of rows of unequal lengths, which Krum cannot"
    ):
        rule.add([0, 1], {"sent": [torch.ones(2), torch.ones(3)]}, torch.ones(2, 1))


def reduce_round() -> Any:
    from fedlit.server_round import ServerRound

    return ServerRound(1, 0, [0, 1], 2)


def test_weights_that_messages_carry_are_refused() -> None:
    class Carried(FedAvg):
        def __init__(self) -> None:
            super().__init__()
            self.weighting = {"delta": "w"}  # type: ignore[assignment]

    with pytest.raises(InputError, match="Krum has no such weights"):
        chosen_reduction(Carried(), {}, Krum(1))


def test_rules_that_trust_nobody_reduce_nothing_and_keep_their_state(caplog: pytest.LogCaptureFixture) -> None:
    rule = FoolsGold()
    rule.setup(LAYOUT, 13)
    reduced = reduce(rule, torch.ones(4, 3))
    assert reduced.message == {}
    assert reduced.state["weights"]["history"]["delta.weights"][:5, 0].tolist() == [1, 1, 1, 1, 0]  # type: ignore[index]
    assert "FoolsGold reduces nothing, and the server keeps its state: it trusts the weights of no mess" in caplog.text
    received = Model(torch.zeros(3), torch.zeros(0))
    server = SimpleNamespace(fit=lambda model: SimpleNamespace(model=Model(-torch.ones(3), torch.zeros(0))))
    assert reduce(FlTrust(), torch.ones(4, 3), broadcast={"model": received}, server_client=server).message == {}
    opposite = torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    assert reduce(Dnc(2), torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1], [0, 0]])).message
    assert reduce(Flame(), opposite, broadcast={"model": Model(torch.zeros(2), torch.zeros(0))}).message is not None


def test_fltrust_scales_statistics_by_their_norm_or_not_at_all_and_trains_once() -> None:
    calls = []

    def fit(model: Model) -> Any:
        calls.append(model)
        return SimpleNamespace(model=Model(torch.tensor([2.0, 0.0]), torch.tensor([1.0])))

    x = torch.tensor([[1.0, 0.0], [0.0, 5.0], [10.0, 10.0], [-1.0, 0.0]], dtype=torch.float64)
    statistics = torch.tensor([[1.0], [100.0], [3.0], [-1000.0]], dtype=torch.float64)
    received = Model(torch.zeros(2), torch.zeros(1))
    for choice in ("same", "own"):
        reduced = reduce(
            FlTrust(choice),
            message(x, statistics),
            broadcast={"model": received},
            server_client=SimpleNamespace(fit=fit),
        )
        root = 0.5**0.5
        weights = (torch.tensor([2.0, 0]) + root * torch.tensor([2.0, 2.0]) * root) / (1 + root)
        assert reduced.message["delta"].weights.tolist() == pytest.approx(weights.tolist())
        expected = (1 + 3 * root) / (1 + root) if choice == "same" else 1.0  # of 1, 100 and 3, scaled to the norm 1
        assert reduced.message["delta"].statistics.tolist() == pytest.approx([expected])
        assert reduced.excluded == ([1, 3] if choice == "same" else [3])
    assert len(calls) == 2
