"""Stages of the broadcast: what clients decode, and the bytes of clients that hold the last broadcast or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.errors import InputError
from fedlit.messages.delivery import deliver, downlink_state
from fedlit.messages.downlink import DownlinkStage, Half, TopK
from fedlit.model_vectors import Model
from fedlit.server_round import ServerRound
from tests import small_runs
from tests.slow import some_slow
from tests.small_runs import rows

P, S, N = 8, 2, 5


def model(seed: int) -> Model:
    rng = np.random.default_rng(seed)
    return Model(torch.tensor(rng.normal(size=P)), torch.tensor(rng.normal(size=S)))


def parts(value: Model) -> list[torch.Tensor]:
    return [value.weights, value.statistics]


def delivered(downlink: dict[str, DownlinkStage], cohorts: list[list[int]]) -> list[Any]:
    state, results = downlink_state(downlink, N), []
    for number, cohort in enumerate(cohorts, 1):
        round = ServerRound(number, 0, cohort, N)
        result = deliver(downlink, {"model": model(number)}, state, round)
        state = result.state
        results.append(result)
    return results


def test_without_stages_the_broadcast_is_what_it_was() -> None:
    (result,) = delivered({}, [[0, 1]])
    assert torch.equal(result.broadcast["model"].weights, model(1).weights)
    assert result.num_bytes == 2 * 8 * (P + S)


def test_half_precision_is_within_its_rounding_and_counts_two_bytes() -> None:
    (result,) = delivered({"half": Half()}, [[0, 1, 2]])
    for got, sent in zip(parts(result.broadcast["model"]), parts(model(1)), strict=True):
        assert float((got - sent).abs().max()) <= 2**-11 * float(sent.abs().max())
        assert got.dtype == sent.dtype
    assert result.num_bytes == 3 * (2 * (P + S) + 2 * 8)


def test_topk_sends_the_largest_differences_and_a_client_without_the_last_broadcast_gets_all() -> None:
    results = delivered({"topk": TopK(0.25)}, [[0, 1], [0, 2], [3], [0, 3]])
    held = model(1).weights.numpy()
    assert np.array_equal(results[0].broadcast["model"].weights.numpy(), held)  # nobody held anything
    for number, result in enumerate(results[1:], 2):
        difference = model(number).weights.numpy() - held
        largest = np.argsort(-np.abs(difference))[:2]
        held = held.copy()
        held[largest] += difference[largest]
        assert np.allclose(result.broadcast["model"].weights.numpy(), held, rtol=0, atol=1e-15)
        assert torch.equal(result.broadcast["model"].statistics, model(number).statistics)
    whole, short = 8 * (P + S), 2 * (8 + 4) + 8 * S
    assert [result.num_bytes for result in results] == [2 * whole, short + whole, whole, whole + short]


def test_stages_in_a_row_are_decoded_in_reverse_and_hold_what_was_decoded() -> None:
    results = delivered({"topk": TopK(0.5), "half": Half()}, [[0], [0], [0]])
    for number, result in enumerate(results, 1):
        assert result.broadcast["model"].weights.shape == (P,)
        held = result.state["held"]["topk"]["model.weights"]
        assert torch.equal(held, result.broadcast["model"].weights)
        assert number == result.state["sent_in"]


@pytest.mark.parametrize("order", [["topk", "half"], ["half", "topk"]])
def test_in_the_first_round_all_receive_what_is_encoded(order: list[str]) -> None:
    stages = {"topk": TopK(0.25), "half": Half()}
    first, second = delivered({name: stages[name] for name in order}, [[0, 1], [0, 2]])
    in_16_bits, whole = 2 * (P + S) + 2 * 8, 8 * (P + S)
    assert first.num_bytes == 2 * in_16_bits
    assert whole < second.num_bytes <= whole + in_16_bits  # client 2 receives what the others have decoded


class Short(DownlinkStage):
    def decode(self, wire: Any, held: Any) -> Any:
        return {key: value[:1] for key, value in wire.items()}


def test_a_decode_that_gives_another_shape_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"downlink: model.statistics of the broadcast is torch.float64 of shape \(2,\)"
    ):
        delivered({"short": Short()}, [[0]])


@pytest.mark.parametrize("aggregator", some_slow(["fedavg", "scaffold"], ["scaffold"]))
def test_a_run_with_both_stages_learns_and_counts_less(aggregator: str, in_folder: Path) -> None:
    words = ["data=digits", "clients=4", "rounds=3", "threads=1", "progress=none", "logger=none"]
    words += [f"aggregator={aggregator}", "trainer=vectorized"]
    stages = ["downlink.topk._target_=fedlit.messages.downlink.TopK", "downlink.topk.share=0.2"]
    stages += ["downlink.half._target_=fedlit.messages.downlink.Half"]
    assert small_runs.command(*words, "hydra.run.dir=plain") == 0
    assert small_runs.command(*words, *stages, "hydra.run.dir=short") == 0
    plain, short = rows(Path("plain")), rows(Path("short"))
    whole = plain[0]["comm/bytes_down"]
    assert whole / 2 < short[0]["comm/bytes_down"] < 0.51 * whole  # the first model is whole, in 16 bits
    assert short[1]["comm/bytes_down"] < 0.35 * plain[1]["comm/bytes_down"]
    assert short[2]["global/test/accuracy"] > 0.6


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=f"downlink.topk.share={share}: it is a share of the entries"):
        TopK(share)
