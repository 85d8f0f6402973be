"""What holds of every robust rule for any messages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.messages.reductions.robust_rules import MAKERS, RESISTS, TRANSLATED, F, made
from tests.messages.reductions.rounds import CLIENTS, message, reduce, vector

N = 11
QUICK = settings(max_examples=15, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def messages(seed: int, columns: int = 6) -> tuple[Tensor, np.random.Generator]:
    """Eleven rows of any scale."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-4, 5)
    return torch.from_numpy(scale * (rng.normal(size=(N, columns)) + rng.normal(size=columns))), rng


@pytest.mark.parametrize("name", MAKERS)
@QUICK
@given(seed=SEEDS)
def test_the_order_of_arrival_and_the_chunks_change_no_bit(name: str, seed: int) -> None:
    x, rng = messages(seed)
    steps = torch.from_numpy(rng.normal(size=(N, 1)))
    clients = rng.choice(CLIENTS, N, replace=False)
    first = reduce(made(name), message(x, x[:, :2], steps=steps), clients.tolist())
    order = rng.permutation(N)
    rows = torch.from_numpy(order)
    permuted = message(x[rows], x[rows][:, :2], steps=steps[rows])
    second = reduce(made(name), permuted, clients[order].tolist(), chunk=3)
    assert torch.equal(first.message["delta"].weights, second.message["delta"].weights)
    assert torch.equal(first.message["delta"].statistics, second.message["delta"].statistics)
    assert torch.equal(first.message["steps"], second.message["steps"])
    assert first.excluded == second.excluded and first.report == second.report


@pytest.mark.parametrize("name", TRANSLATED)
@QUICK
@given(seed=SEEDS)
def test_the_same_vector_added_to_all_messages_is_added_to_the_result(name: str, seed: int) -> None:
    x, rng = messages(seed)
    shift = torch.from_numpy(rng.normal(size=6)) * x.std()
    moved, before = vector(made(name), x + shift), vector(made(name), x) + shift
    assert torch.allclose(moved, before, rtol=1e-7, atol=1e-7 * float(x.abs().max()))


@pytest.mark.parametrize("name", RESISTS)
@QUICK
@given(seed=SEEDS, size=st.sampled_from([1.0, 1e8, 9e9, 1e30, 3e38]), signs=st.tuples(*[st.sampled_from([-1, 1])] * F))
def test_malicious_clients_do_not_move_a_number_out_of_the_honest_range(
    name: str, seed: int, size: float, signs: tuple[int, ...]
) -> None:
    """As many as the rule is made for, anywhere in the cohort. Under buckets of two they are in two of six."""
    x, rng = messages(seed, columns=1)
    x = x.float()
    bad = torch.from_numpy(rng.choice(N, F, replace=False))
    honest = torch.ones(N, dtype=torch.bool).index_fill(0, bad, False)
    x[bad] = torch.tensor(signs, dtype=torch.float32)[:, None] * size
    result = vector(made(name), x)
    low, high = x[honest].min(), x[honest].max()
    slack = 1e-6 * float(x[honest].abs().max())
    assert low - slack <= result.item() <= high + slack


@pytest.mark.parametrize("name", MAKERS)
def test_the_messages_stay_as_they_are(name: str) -> None:
    x, _ = messages(3)
    wire = message(x, x[:, :2].clone(), steps=x[:, :1].clone())
    before = {key: value.clone() for key, value in wire.items()}
    reduce(made(name), wire)
    assert all(torch.equal(wire[key], before[key]) for key in wire)


@pytest.mark.parametrize("name", MAKERS)
def test_nobody_reads_how_many_samples_a_client_reports(name: str) -> None:
    x, _ = messages(4)
    results = []
    for factor in (1.0, 1e12):
        rule = made(name).start({"delta": "examples"}, reduce_round(), {})
        rule.add(list(range(N)), message(x), torch.full((N, 1), factor).index_fill(0, torch.tensor([2]), 1.0))
        results.append(rule.finish().message["delta"].weights)
    assert torch.equal(*results)


def reduce_round():  # type: ignore[no-untyped-def]
    from fedlit.server_round import ServerRound

    return ServerRound(1, 0, list(range(N)), CLIENTS)
