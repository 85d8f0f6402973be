"""Reductions, and combinations that are refused before any work."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch

from fedlit.aggregators import FedAMP, FedAvg
from fedlit.errors import InputError
from fedlit.messages.composition import chosen_reduction, run_weighting
from fedlit.messages.reductions import All, Mean, Reduced
from fedlit.messages.stages import Stage
from fedlit.messages.wire import Wire
from fedlit.server_round import ServerRound

ROUND = ServerRound(1, 0, [4, 2, 7], 9)


class Halved(Stage):
    decodes: ClassVar[bool] = True


class Clipped(Stage):
    uniform: ClassVar[bool] = True


class Trips(Stage):
    trips: ClassVar[int] = 2


class Median(All):
    """Reduces: it is for algorithms that take one message."""

    def finish(self) -> Reduced:
        medians = {key: value.median(0).values for key, value in super().finish().message.items() if key == "c"}
        return Reduced(medians)


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
    reduced = mean.finish().message
    by_examples = (1 * 1 + 2 * 2 + 5 * 4) / 8
    assert reduced["delta"].weights.tolist() == [by_examples, 10 * by_examples]
    assert reduced["delta"].statistics.tolist() == [-by_examples, -10 * by_examples]
    assert reduced["c"].tolist() == pytest.approx([(1 + 2 + 4) / 3], abs=1e-15)


def test_start_makes_an_empty_copy_for_each_round() -> None:
    configured = Mean()
    for _ in range(2):
        mean = configured.start({}, ROUND)
        mean.add(*chunks()[1])
        assert mean.finish().message["c"].tolist() == [4.0]
    assert configured.start({}, ROUND).finish().message == {}
    assert All().start({}, ROUND).finish().message == {}


def test_all_keeps_every_message_in_order() -> None:
    collector = All().start({}, ROUND)
    for chunk in chunks():
        collector.add(*chunk)
    reduced = collector.finish().message
    assert reduced["c"].tolist() == [[1.0], [2.0], [4.0]]
    assert reduced["delta"].weights.shape == (3, 2)
    assert reduced["examples"].tolist() == [[1.0], [2.0], [5.0]]


def test_an_algorithm_that_needs_all_messages_gets_all() -> None:
    assert type(chosen_reduction(FedAvg(), {}, None)) is Mean
    assert type(chosen_reduction(FedAMP(), {}, None)) is All
    blind, all_messages = Blind(), All()
    assert chosen_reduction(FedAvg(), {"clip": Clipped()}, blind) is blind
    assert chosen_reduction(FedAMP(), {}, all_messages) is all_messages


@pytest.mark.parametrize(
    ("aggregator", "uplink", "reduction", "sentence"),
    [
        (FedAMP(), {}, Mean(), r"FedAMP gets every client's own message \(needs_all\), and Mean makes one of them"),
        (FedAMP(), {"trips": Trips()}, None, r"FedAMP gets .* and uplink.trips makes one of them; leave uplink.trips"),
        (FedAvg(), {"trips": Trips()}, Median(), "uplink.trips sends several messages .* and Median needs single"),
        (FedAvg(), {"half": Halved()}, Blind(), "under Blind the server sees sums only and cannot decode what half"),
    ],
)
def test_stages_and_reductions_that_cannot_work_together_are_refused(aggregator, uplink, reduction, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        chosen_reduction(aggregator, uplink, reduction)


class Several(FedAvg):
    """It names the weighting of one of the keys of `chunks`."""

    def __init__(self, weighting: Any) -> None:
        super().__init__()
        self.weighting = weighting


@pytest.mark.parametrize(
    "weighting", [{}, {"delta": "uniform"}, {"c": "examples"}, {"delta": "examples", "c": "uniform"}]
)
def test_a_stage_may_ask_for_uniform_weights_of_every_key(
    weighting: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    values, examples = [1, 2, 4], [1, 2, 5]
    by_examples, plain = sum(n * v for n, v in zip(examples, values, strict=True)) / 8, sum(values) / 3
    for uplink, expected in (
        (
            {"half": Halved()},
            {key: plain if weighting.get(key) == "uniform" else by_examples for key in ("delta", "c")},
        ),
        ({"half": Halved(), "clip": Clipped()}, {"delta": plain, "c": plain}),
    ):
        mean = Mean().start(run_weighting(Several(weighting), uplink), ROUND)
        for chunk in chunks():
            mean.add(*chunk)
        reduced = mean.finish().message
        assert float(reduced["delta"].weights[0]) == pytest.approx(expected["delta"], abs=1e-15)
        assert float(reduced["c"][0]) == pytest.approx(expected["c"], abs=1e-15)
    lines = [record.getMessage() for record in caplog.records]
    is_changed = {"delta": "examples"} | weighting
    assert len(lines) == ("examples" in is_changed.values())
    assert not lines or lines[0].startswith("Several: all clients count the same, because uplink.clip needs it")


@pytest.mark.parametrize(
    ("weighting", "sentence"),
    [
        (
            {"c": None},
            "Several: weighting of c is None; write examples or uniform, or the key of a weight in the message",
        ),
        ({"c": ["uniform"]}, "Several: weighting of c is \\['uniform'\\]; write examples or uniform"),
        ("uniform", "Several: weighting='uniform' is no mapping; write one from the keys of a message"),
    ],
)
def test_another_weighting_is_refused(weighting: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        run_weighting(Several(weighting), {})


class Dropping(All):
    """Drops the first chunk."""

    def add(self, clients: list[int], wire: Wire, examples: torch.Tensor) -> None:
        if 4 not in clients:
            super().add(clients, wire, examples)


class Doubling(All):
    def encode(self, client: Any, wire: Wire, weighting: Any) -> Wire:
        return {key: 2 * value for key, value in wire.items()}


@pytest.mark.parametrize("reduction", [Dropping(), Doubling(), Median()])
def test_a_subclass_of_all_is_not_every_message_as_it_is(reduction: All) -> None:
    with pytest.raises(
        InputError, match=f"every client's own message .needs_all., and {type(reduction).__name__} makes one of them"
    ):
        chosen_reduction(FedAMP(), {}, reduction)


def test_a_subclass_of_all_that_reduces_serves_an_algorithm_that_takes_one_message() -> None:
    median = Median()
    assert chosen_reduction(FedAvg(), {}, median) is median
    for reduction in (Dropping(), Doubling()):
        with pytest.raises(
            InputError, match=f"takes one reduced message, and {type(reduction).__name__} does not reduce"
        ):
            chosen_reduction(FedAvg(), {}, reduction)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e5m2])
def test_short_numbers_do_not_overflow_in_the_sum_of_a_mean(dtype: torch.dtype) -> None:
    mean = Mean().start({}, ROUND)
    for clients, value in (([4, 2], [[96.0, 1.0], [112.0, 2.0]]), ([7], [[128.0, 4.0]])):
        mean.add(clients, {"c": torch.tensor(value).to(dtype)}, torch.full((len(clients), 1), 3000.0))
    reduced = mean.finish().message["c"]
    assert reduced.dtype == dtype
    assert torch.equal(reduced.float(), torch.tensor([112.0, 7 / 3]).to(dtype).float())


def test_messages_of_unequal_lengths_reach_all_as_a_list_and_have_no_mean() -> None:
    rows = [torch.ones(2), torch.ones(0), torch.ones(5)]
    collector = All().start({}, ROUND)
    collector.add([4, 2], {"sent": rows[:2]}, torch.ones(2, 1))
    collector.add([7], {"sent": rows[2:]}, torch.ones(1, 1))
    assert [len(row) for row in collector.finish().message["sent"]] == [2, 0, 5]
    with pytest.raises(InputError, match="sent of the messages is a list of rows of unequal lengths"):
        Mean().start({}, ROUND).add([4, 2], {"sent": rows[:2]}, torch.ones(2, 1))
