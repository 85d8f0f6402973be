"""Reductions, and combinations that are refused before any work."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

from fedlit.aggregators import FedAvg, FedProx
from fedlit.errors import InputError
from fedlit.messages import chosen_reduction, run_weighting
from fedlit.messages.reductions import All, Mean
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire
from fedlit.server_round import ServerRound
from tests.aggregators.written import FedAmp

ROUND = ServerRound(1, 0, [4, 2, 7], 9)


class Halved(Stage):
    decodes: ClassVar[bool] = True


class Clipped(Stage):
    uniform: ClassVar[bool] = True


class Blind(Mean):
    blind: ClassVar[bool] = True


def chunks() -> list[tuple[list[int], Wire, torch.Tensor]]:
    """Three clients with 1, 2 and 5 samples, in chunks of two and one."""

    def wire(*values: float) -> Wire:
        x = torch.tensor([[v, 10 * v] for v in values], dtype=torch.float64)
        return {"delta.weights": x, "delta.statistics": -x, "c": x[:, :1]}

    return [
        ([4, 2], wire(1, 2), torch.tensor([[1.0], [2.0]], dtype=torch.float64)),
        ([7], wire(4), torch.tensor([[5.0]], dtype=torch.float64)),
    ]


def test_the_mean_weighs_each_key_as_the_algorithm_says() -> None:
    mean = Mean().start({"c": "uniform"}, ROUND)
    for chunk in chunks():
        mean.add(*chunk)
    reduced = mean.finish()
    by_examples = (1 * 1 + 2 * 2 + 5 * 4) / 8
    assert reduced["delta"].weights.tolist() == [by_examples, 10 * by_examples]
    assert reduced["delta"].statistics.tolist() == [-by_examples, -10 * by_examples]
    assert reduced["c"].tolist() == pytest.approx([(1 + 2 + 4) / 3], abs=1e-15)


def test_start_makes_an_empty_copy_for_each_round() -> None:
    configured = Mean()
    for _ in range(2):
        mean = configured.start({}, ROUND)
        mean.add(*chunks()[1])
        assert mean.finish()["c"].tolist() == [4.0]
    assert configured.start({}, ROUND).finish() == {}
    assert All().start({}, ROUND).finish() == {}


def test_all_keeps_every_message_in_order() -> None:
    collector = All().start({}, ROUND)
    for chunk in chunks():
        collector.add(*chunk)
    reduced = collector.finish()
    assert reduced["c"].tolist() == [[1.0], [2.0], [4.0]]
    assert reduced["delta"].weights.shape == (3, 2)
    assert reduced["examples"].tolist() == [[1.0], [2.0], [5.0]]


def test_an_algorithm_that_needs_all_messages_gets_all() -> None:
    assert type(chosen_reduction(FedAvg(), {}, None)) is Mean
    assert type(chosen_reduction(FedAmp(), {}, None)) is All
    blind, all_messages = Blind(), All()
    assert chosen_reduction(FedAvg(), {"clip": Clipped()}, blind) is blind
    assert chosen_reduction(FedAmp(), {}, all_messages) is all_messages


@pytest.mark.parametrize(
    ("aggregator", "uplink", "reduction", "sentence"),
    [
        (
            FedAmp(),
            {"clip": Clipped()},
            None,
            "FedAmp needs every client's own message as it is, and clip would change",
        ),
        (FedAmp(), {}, Mean(), "FedAmp needs every client's own message as it is, and Mean would change it"),
        (FedAvg(), {"half": Halved()}, Blind(), "under Blind the server sees sums only and cannot decode what half"),
    ],
)
def test_stages_and_reductions_that_cannot_work_together_are_refused(aggregator, uplink, reduction, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        chosen_reduction(aggregator, uplink, reduction)


def test_a_stage_may_ask_for_uniform_weights() -> None:
    assert run_weighting(FedProx(), {"half": Halved()}) == {"delta": "examples"}
    assert run_weighting(FedProx(), {"half": Halved(), "clip": Clipped()}) == {"delta": "uniform"}
