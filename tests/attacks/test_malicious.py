"""Which clients are malicious, and in which rounds."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedlit.attacks import NoAttack, SignFlip, ready_attack, with_attack
from fedlit.attacks.malicious import AttackRounds, MaliciousClients, malicious_numbers
from fedlit.errors import InputError
from fedlit.messages.reductions import Mean


def test_a_share_is_drawn_from_the_seed_alone() -> None:
    first = malicious_numbers(0.2, clients=100, seed=0)
    assert len(set(first)) == 20 and first == sorted(first) and set(first) <= set(range(100))
    assert malicious_numbers(0.2, clients=100, seed=0) == first != malicious_numbers(0.2, clients=100, seed=1)


def test_a_larger_share_keeps_the_clients_of_a_smaller_one() -> None:
    assert set(malicious_numbers(0.1, 50, 3)) < set(malicious_numbers(0.3, 50, 3))


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (0.01, r"attack.clients=0.01: this share of 10 clients is none; write a larger share"),
        ([3, 10], r"client 10 does not exist, because the 10 clients are numbered from 0 to 9"),
        ([-1], r"client -1 does not exist"),
        ([2, 2], r"attack.clients=\[2, 2\]: a client is in the list twice"),
        (1.5, r"attack.clients=1.5: a share lies between 0 and 1"),
    ],
)
def test_clients_that_cannot_be_malicious_are_refused(option: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        SignFlip(option).setup(10, seed=0)


def test_no_client_is_a_share_too() -> None:
    data: Any = None
    attack = ready_attack(SignFlip(0), data, 10, seed=0, algorithm="FedAvg", pooled=False)
    assert type(attack) is NoAttack and not attack.is_active(1)
    reduction = Mean()
    assert with_attack(attack, {}, reduction) == ({}, reduction)


@pytest.mark.parametrize(
    ("option", "rounds"),
    [(None, [1, 2, 3, 4, 5, 6]), ([2, 5], [2, 5]), ({"from": 3}, [3, 4, 5, 6]), ({"every": 2}, [1, 3, 5]), ([], [])],
)
def test_rounds(option: Any, rounds: list[int]) -> None:
    assert [number for number in range(1, 7) if number in AttackRounds(option)] == rounds


@pytest.mark.parametrize("option", [[0], {"until": 3}, {"from": 0}, 3, "all", [True], {"every": 1.5}])
def test_other_rounds_are_refused(option: Any) -> None:
    with pytest.raises(InputError, match=r"attack.rounds=.*write for example 'attack.rounds=\[5\]'"):
        AttackRounds(option)


def test_ranks_are_looked_up_for_any_shape_and_no_client_is_honest() -> None:
    malicious = MaliciousClients([2, 7, 9], clients=10)
    client = torch.tensor([[9, 0, -1], [2, 7, 1]])
    assert malicious.rank(client).tolist() == [[2, -1, -1], [0, 1, -1]]
