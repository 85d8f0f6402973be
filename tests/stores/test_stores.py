"""Properties of every store of client states."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fedlit.client import ClientState
from fedlit.stores import DiskStore, MemoryStore, Store

CPU = torch.device("cpu")


def head(number: float) -> ClientState:
    return {"algorithm": {"head": torch.full((3,), float(number))}}


def number(state: ClientState | None) -> float | None:
    return None if state is None else state["algorithm"]["head"][0].item()


@pytest.fixture(params=[MemoryStore, DiskStore])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    store = request.param()
    store.open(tmp_path / "checkpoints", CPU)
    store.load(0, {})
    return store


def test_get_returns_states_in_the_order_of_the_clients(store: Store) -> None:
    store.put(1, [(7, head(7)), (2, head(2)), (1_000_000, head(3))])
    assert [number(s) for s in store.get([2, 5, 1_000_000, 7, 2])] == [2, None, 3, 7, 2]
    assert store.get([]) == []


def test_get_returns_the_newest_state(store: Store) -> None:
    store.put(1, [(1, head(1)), (2, head(1))])
    store.put(2, [(2, head(2))])
    store.keep(2, 2)
    store.put(3, [(2, head(3))])
    assert [number(s) for s in store.get([1, 2])] == [1, 3]
    assert [(client, number(s)) for client, s in store.items()] == [(1, 1), (2, 3)]


def test_a_cohort_may_have_thousands_of_clients(store: Store) -> None:
    clients = torch.randperm(2500).tolist()
    store.put(1, [(c, head(c)) for c in clients])
    assert [number(s) for s in store.get(clients[::-1])] == clients[::-1]


def test_empty_states_are_not_stored(store: Store) -> None:
    store.put(1, [(1, {"algorithm": {}}), (2, {"algorithm": {}, "stages": {"quantize": {}}})])
    store.put(2, [])
    assert store.get([1, 2]) == [None, None] and list(store.items()) == []


@pytest.mark.parametrize(
    "state",
    [
        {"algorithm": {}, "stages": {"a": {}, "b": {"sent": torch.ones(1)}}},
        {"algorithm": {}, "optimizer": {"0": {"weight": {"step": torch.ones(())}}}},
    ],
    ids=["stage", "optimiser"],
)
def test_a_state_of_a_stage_or_an_optimiser_alone_is_stored(store: Store, state: ClientState) -> None:
    store.put(1, [(1, state)])
    assert store.get([1])[0].keys() == state.keys()


def test_a_stored_row_is_a_copy(store: Store) -> None:
    rows = torch.zeros(2, 3)
    store.put(1, [(0, {"algorithm": {"head": rows[0]}})])
    rows += 1
    assert number(store.get([0])[0]) == 0


def test_load_restores_the_saved_states(store: Store, tmp_path: Path) -> None:
    store.put(1, [(1, head(1)), (2, head(1))])
    saved = dict(store.save())
    store.keep(1, 1)
    store.put(2, [(2, head(2)), (3, head(2))])
    store.close()
    again = type(store)()
    again.open(tmp_path / "checkpoints", CPU)
    again.load(1, saved)
    assert [(client, number(s)) for client, s in again.items()] == [(1, 1), (2, 1)]
