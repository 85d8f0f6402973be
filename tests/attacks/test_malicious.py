"""Which clients are malicious, and in which rounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.aggregators import FedAvg
from fedlit.attacks import Backdoor, LabelFlip, NoAttack, SignFlip, ready_attack, with_attack
from fedlit.attacks.malicious import AttackRounds, MaliciousClients, malicious_numbers
from fedlit.data import DataSource, TensorSamples
from fedlit.errors import InputError
from fedlit.messages.reductions import Mean
from tests.aggregators.federations import SIZES, Running, numbers


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


@pytest.mark.parametrize("clients", [0, []])
@pytest.mark.parametrize("pooled", [False, True])
def test_without_malicious_clients_the_success_is_measured_all_the_same(clients: Any, pooled: bool) -> None:
    x, y = torch.zeros(20, 1, 4, 4), torch.arange(20) % 4
    data = DataSource("mine", TensorSamples(x, y), TensorSamples(x, y), 4, (1, 4, 4))
    for attack in (LabelFlip(clients), Backdoor(clients, parts=4)):
        baseline = ready_attack(attack, data, 10, seed=0, algorithm="FedAvg", pooled=pooled)
        assert type(baseline) is NoAttack and baseline.poison(data) is None and baseline.stage() is None
        assert baseline.extra_tests(data).keys() == attack.extra_tests(data).keys() == {"attack success"}
    with pytest.raises(InputError, match="target=7 is no class of mine"):
        ready_attack(Backdoor(clients, target=7), data, 10, seed=0, algorithm="FedAvg", pooled=pooled)


def test_the_success_without_malicious_clients_is_that_of_the_clean_model(tmp_path: Path) -> None:
    run = Running(tmp_path / "baseline", FedAvg(), attack=LabelFlip(0)).go(2)
    plain = Running(tmp_path / "plain", FedAvg()).go(2)
    assert torch.equal(run.weights, plain.weights)
    x, y = (t[sum(SIZES) :].numpy() for t in numbers())
    w = {name: tensor.numpy() for name, tensor in run.named().items()}
    hidden = np.maximum(x @ w["body.weight"].T + w["body.bias"], 0)
    predicted = (hidden @ w["head.weight"].T + w["head.bias"]).argmax(1)
    flipped = y != 1  # of three classes the one in the middle stays
    assert run.rows[-1]["attack/success"] == pytest.approx((predicted == 2 - y)[flipped].mean())
    assert "attack/success" not in plain.rows[-1] and "attack/drawn" not in run.rows[-1]


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
