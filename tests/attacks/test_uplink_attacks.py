"""Messages that malicious clients change one by one, against their formulas in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.attacks import Backdoor, FreeRider, Gaussian, Scaling, SignFlip, Statistics, UplinkAttack
from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.wire import Wire
from fedlit.server_round import ServerRound
from tests.attacks.messages import LAYOUT, MODELS, ready, stage_client, wire_of

COHORT = [3, 0, 5, 8]
BAD = [0, 8]  # rows 1 and 3
Formula = Callable[[np.ndarray], np.ndarray]

CASES: list[tuple[UplinkAttack, Formula]] = [
    (SignFlip(BAD), lambda m: -m),
    (SignFlip(BAD, scale=3.0), lambda m: -3 * m),
    (Scaling(BAD), lambda m: 10 * m),
    (Scaling(BAD, gamma=None), lambda m: 4 * m),
    (FreeRider(BAD, sends="zeros"), lambda m: 0 * m),
    (FreeRider(BAD), lambda m: 0 * m),  # the first round has no last change
    (Backdoor(BAD, gamma=5.0), lambda m: 5 * m),
]


def encoded(attack: UplinkAttack, round: int = 1, numbers: list[int] | None = None, **received: Any) -> Wire:
    stage = ready(attack).stage()
    wire, state = stage.encode(
        stage_client(numbers or COHORT, round, COHORT, **received), wire_of(numbers or COHORT), {}
    )
    assert state == {} and stage.place == "attack"
    return dict(wire)


@pytest.mark.parametrize(("attack", "formula"), CASES, ids=lambda value: str(value) if value in CASES else None)
def test_malicious_clients_send_the_formula_and_the_others_their_own_bits(
    attack: UplinkAttack, formula: Formula
) -> None:
    honest, wire = wire_of(COHORT), encoded(attack)
    assert wire.keys() == honest.keys()
    for key, value in wire.items():
        assert torch.equal(value[[0, 2]], honest[key][[0, 2]])
        if key in MODELS:
            np.testing.assert_array_equal(value[[1, 3]].numpy(), formula(honest[key][[1, 3]].numpy()))
        elif key != "delta.statistics" or not isinstance(attack, FreeRider):
            assert torch.equal(value, honest[key])


@pytest.mark.parametrize(
    "attack", [attack for attack, _ in CASES] + [Gaussian(BAD), FreeRider(BAD, noise=0.1)], ids=str
)
def test_a_message_does_not_depend_on_the_clients_beside_it(attack: UplinkAttack) -> None:
    together = encoded(attack)
    for row, client in enumerate(COHORT):
        alone = encoded(attack, numbers=[client])
        for key, value in together.items():
            assert torch.equal(value[row], alone[key][0]), key


def test_rounds_without_an_attack_and_cohorts_without_malicious_clients_keep_all_bits() -> None:
    honest = wire_of(COHORT)
    for wire in (encoded(SignFlip(BAD, rounds=[2]), round=1), encoded(SignFlip([1, 2]))):
        assert all(torch.equal(value, honest[key]) for key, value in wire.items())
    assert not torch.equal(encoded(SignFlip(BAD, rounds=[2]), round=2)["delta.weights"], honest["delta.weights"])


def test_a_sign_flip_of_scale_minus_one_is_no_attack() -> None:
    honest = wire_of(COHORT)
    assert all(torch.equal(value, honest[key]) for key, value in encoded(SignFlip(BAD, scale=-1.0)).items())


def test_free_riders_send_the_reduced_message_of_the_round_before() -> None:
    attack = ready(FreeRider(BAD))
    stage = attack.stage()
    stage.setup(LAYOUT, 12)
    server = stage.server_state(None)
    assert stage.broadcast(server) == {}
    change = {key: torch.arange(5.0).double() + shift for shift, key in enumerate(MODELS)}
    reduced = change | {"delta.statistics": torch.ones(2), "steps": torch.ones(1)}
    message, server, row = stage.reduced(reduced, server, ServerRound(1, 0, COHORT, 12))
    assert message is reduced and row == {} and stage.broadcast(server).keys() == change.keys()
    client = stage_client(
        COHORT, 2, **{key.replace(".", "__"): value for key, value in stage.broadcast(server).items()}
    )
    wire, _ = stage.encode(client, wire_of(COHORT), {})
    for key in MODELS:
        assert torch.equal(wire[key][[1, 3]], change[key].expand(2, 5))
    assert not wire["delta.statistics"][[1, 3]].any() and wire["delta.statistics"][[0, 2]].all()
    _, server_after, _ = stage.reduced({}, server, ServerRound(2, 0, COHORT, 12))
    assert server_after == server  # a round of which nothing arrived


def test_the_noise_of_free_riders_and_gaussian_clients_has_its_scale() -> None:
    numbers = list(range(12))
    size = 20_000
    honest = wire_of(numbers, size=size)
    attack = ready(FreeRider(numbers, sends="zeros", noise=0.25))
    wire, _ = attack.stage().encode(stage_client(numbers), wire_of(numbers, size=size), {})
    assert abs(float(wire["delta.weights"].std()) - 0.25) < 0.002
    attack = ready(Gaussian(numbers, scale=3.0))
    wire, _ = attack.stage().encode(stage_client(numbers), wire_of(numbers, size=size), {})
    for key in MODELS[:2]:
        ratio = wire[key].norm(dim=1) / honest[key].norm(dim=1)
        assert ((ratio - 3).abs() < 0.1).all()
        assert float(torch.corrcoef(wire[key]).tril(-1).abs().max()) < 0.05  # each has noise of its own
        assert float((wire[key] * honest[key]).mean().abs()) < 0.05
    assert not torch.equal(wire["delta.weights"], wire["control.weights"])


def test_statistics_are_set_and_weights_are_honest() -> None:
    honest, wire = wire_of(COHORT), encoded(Statistics(BAD, value=-1000.0))
    assert (wire["delta.statistics"][[1, 3]] == -1000).all()
    assert torch.equal(wire["delta.statistics"][[0, 2]], honest["delta.statistics"][[0, 2]])
    assert all(torch.equal(wire[key], honest[key]) for key in wire if key != "delta.statistics")


def plan(message: dict[str, torch.Tensor], hands_over: bool = False) -> MessagePlan:
    return MessagePlan("FedX", message, {}, LAYOUT, 12, 4.0, hands_over=hands_over)


def test_attacks_that_change_nothing_of_the_messages_are_refused() -> None:
    only_numbers = plan({"logits": torch.zeros(3)})
    no_statistics = plan({"delta.weights": torch.zeros(3), "delta.statistics": torch.zeros(0)})
    with pytest.raises(InputError, match="SignFlip works on the weights of models, and FedX sends none, only logits"):
        ready(SignFlip(BAD)).stage().check(only_numbers)
    with pytest.raises(InputError, match="attack=statistics changes running statistics, and the messages of FedX hold"):
        ready(Statistics(BAD)).stage().check(no_statistics)
    with pytest.raises(InputError, match="attack.sends=last_change: FedX gets every message"):
        ready(FreeRider(BAD)).stage().check(plan({"delta.weights": torch.zeros(3)}, hands_over=True))
    ready(SignFlip(BAD)).stage().check(no_statistics)
