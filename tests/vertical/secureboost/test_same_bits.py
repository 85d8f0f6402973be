"""Metrics and states are the same bits under any cipher and at any start, with hosts and without."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fedlit.vertical.ciphers.paillier import Paillier
from fedlit.vertical.ciphers.plain import Plain
from fedlit.vertical.party import Sealed
from fedlit.vertical.secureboost import SecureBoost
from tests.vertical.secureboost.samples import columns, parties
from tests.vertical.secureboost.stepped import SMALL_KEY, run, tables

SMALL = SecureBoost(depth=3, bins=5)


def bits(value: Any) -> Any:
    """What a state holds, for comparison bit by bit."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {name: bits(part) for name, part in value.items()}
    assert type(value) in (int, float, str, list, bool), type(value)
    return value


def test_paillier_grows_the_trees_of_plain() -> None:
    """With two hosts, missing values, and other numbers of sums in a ciphertext."""
    data = parties(120)
    plain, sealed = run(SMALL, data, 2), run(SMALL, data, 2, SMALL_KEY)
    again, longer = run(SMALL, data, 2, SMALL_KEY), run(SMALL, data, 2, Plain(2048))
    assert bits(plain.states) == bits(sealed.states) == bits(again.states) == bits(longer.states)
    assert plain.rows == sealed.rows == again.rows == longer.rows
    used = plain.rows[-1]["guest"]
    assert all(used[f"importance/{party}/count"] > 0 for party in data)

    blobs = [message["packed"].blobs for result in (sealed, again) for message in result.messages("guest", "gradients")]
    assert all(not set(first) & set(second) for first, second in zip(blobs[:2], blobs[4:6], strict=True))
    assert all(isinstance(message["packed"], Sealed) for message in sealed.messages("host", "sums"))


def test_workers_change_nothing() -> None:
    data = parties(60)
    alone, crew = run(SMALL, data, 1, SMALL_KEY), run(SMALL, data, 1, Paillier(256, workers=2, insecure=True))
    assert bits(alone.states) == bits(crew.states)


def test_columns_of_several_parties_give_the_trees_of_one_table() -> None:
    data, pooled = parties(300), parties(300, split={"guest": range(6)})
    apart, joined = run(SecureBoost(depth=4), data, 4), run(SecureBoost(depth=4), pooled, 4)
    assert [row["test"] for row in apart.rows] == [row["test"] for row in joined.rows]
    for name in ("margin", "test_margin"):
        assert bits(apart.states["guest"]["joint"][name]) == bits(joined.states["guest"]["joint"][name])
    assert joined.sent == []


def test_a_round_run_twice_from_states_gives_the_same_and_leaves_them() -> None:
    options = SecureBoost(depth=3, missing_party="guest", guest_first=1)
    data = parties(150)
    result = run(options, data, 1)
    before, states = bits(result.states), result.states
    first = result.phase("round", 2), result.phase("predict", 2)
    after = bits(result.states)
    result.states = states
    assert bits(result.states) == before != after
    assert (result.phase("round", 2), result.phase("predict", 2)) == first and bits(result.states) == after


def test_states_go_on_after_another_start() -> None:
    """With other keys, and without the predictions in between."""
    data = parties(100)
    whole_run, start = run(SMALL, data, 3), run(SMALL, data, 1, SMALL_KEY)
    resumed = run(SMALL, data, 0, SMALL_KEY, states=start.states)
    for number in (2, 3):
        resumed.phase("round", number)
    assert resumed.phase("predict", 3)["guest"] == whole_run.rows[-1]["test"]
    assert bits(resumed.states) == bits(whole_run.states)


def test_values_are_exact_sums_too() -> None:
    table, _ = columns(90, missing=0.1)
    target = 1e6 * np.nan_to_num(table[:, 0]) - 17.25 * np.nan_to_num(table[:, 3])
    data = tables(table, table, target, target, {"guest": (0, 1), "host": (2, 3, 4)})
    plain, sealed = (run(SMALL, data, 3, cipher, task="regression") for cipher in (Plain(256), SMALL_KEY))
    assert bits(plain.states) == bits(sealed.states)
    assert plain.rows[-1]["test"]["r2"] > plain.rows[0]["test"]["r2"] > 0.3
