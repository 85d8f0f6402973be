"""Sealed messages: what was changed on the way, is of another round or of another client is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedlit.messages.sent import Sent
from fedlit.messages.stages import Seal, StageClient
from fedlit.messages.wire import Wire, num_bytes
from fedlit.round import Round


class Clients:
    def __init__(self, numbers: list[int], round: Round):
        self.number, self.round = torch.tensor(numbers)[:, None], round
        self.examples = torch.ones(len(numbers), 1)


def a_round(number: int = 1) -> Round:
    return Round(number=number, seed=0, cohort=[3, 5, 8], clients=10)


def seal() -> Seal:
    stage = Seal()
    stage.setup(None, 10)  # type: ignore[arg-type]
    return stage


WIRE: Wire = {
    "delta.weights": torch.randn(3, 7),
    "delta.statistics": torch.zeros(3, 0),
    "signs": torch.randint(0, 255, (3, 2, 3), dtype=torch.uint8),
    "count": torch.tensor([[3], [4], [5]]),
    "half": torch.randn(3, 2).half(),
    "rows": [torch.randn(2), torch.randn(0), torch.randn(5)],
}


def sent(stage: Seal, round: Round, numbers: tuple[int, ...] = (3, 5, 8), wire: Wire = WIRE) -> Wire:
    client = StageClient(Clients(list(numbers), round), "seal", None)  # type: ignore[arg-type]
    return stage.encode(client, wire, {})[0]


def received(
    stage: Seal, wire: Wire, number: int = 1, clients: tuple[int, ...] = (3, 5, 8)
) -> tuple[Wire, dict[int, str]]:
    at = Sent(list(clients), a_round(number))
    return stage.decode(wire, at), at.refusals


def same(first: Any, second: Any) -> bool:
    if isinstance(first, list):
        return all(map(same, first, second))
    return first.dtype == second.dtype and torch.equal(first, second)


def test_messages_of_any_types_come_out_as_they_went_in() -> None:
    stage = seal()
    opened, refusals = received(stage, sent(stage, a_round()))
    assert not refusals and opened.keys() == WIRE.keys()
    assert all(same(opened[key], value) for key, value in WIRE.items())


def test_28_bytes_are_added_to_a_message() -> None:
    plain = {key: value for key, value in WIRE.items() if key != "rows"}
    box = sent(seal(), a_round(), wire=plain)
    assert num_bytes(box) == num_bytes(plain) + 3 * 28 and box["sealed"].shape[0] == 3


@pytest.mark.parametrize("at", [0, 11, 12, 40, -1])
def test_a_changed_byte_is_found(at: int) -> None:
    stage = seal()
    box = sent(stage, a_round())
    box["sealed"][1] = box["sealed"][1].clone()
    box["sealed"][1][at] ^= 1
    opened, refusals = received(stage, box)
    assert refusals == {1: "its seal does not fit: the message was changed, or is of another client or round"}
    assert torch.equal(opened["delta.weights"][[0, 2]], WIRE["delta.weights"][[0, 2]])
    assert not opened["delta.weights"][1].any()


def test_messages_of_another_round_client_or_start_are_refused() -> None:
    stage = seal()
    plain = {key: value for key, value in WIRE.items() if key != "rows"}
    box = sent(stage, a_round(1), wire=plain)
    assert received(stage, box, number=2)[1].keys() == {0, 1, 2}
    assert received(stage, box, clients=(3, 8, 5))[1].keys() == {1, 2}
    assert received(seal(), box)[1].keys() == {0, 1, 2}


def test_changed_shapes_and_cut_messages_are_refused() -> None:
    stage = seal()
    plain = {key: value for key, value in WIRE.items() if key != "rows"}
    box = sent(stage, a_round(), wire=plain)
    longer = box | {"delta.weights.shape": torch.zeros(3, 8, 0)}
    assert received(stage, longer)[1].keys() == {0, 1, 2}
    renamed = {key.replace("count", "other"): value for key, value in box.items()}
    assert received(stage, renamed)[1].keys() == {0, 1, 2}
    for size in (0, 20, 40):
        assert received(stage, box | {"sealed": box["sealed"][:, :size]})[1].keys() == {0, 1, 2}


def test_the_wire_shows_no_number_of_the_message() -> None:
    stage = seal()
    wire: Wire = {"delta.weights": torch.full((1, 200), 0.123456789)}
    text = sent(stage, a_round(), (3,), wire)["sealed"][0].numpy().tobytes()
    assert wire["delta.weights"][0, :2].numpy().tobytes() not in text  # by chance with a probability of 4e-17
    again = sent(stage, a_round(), (3,), wire)["sealed"][0].numpy().tobytes()
    assert text[:12] != again[:12] and text[12:] != again[12:], "a nonce is used once"


def test_keys_are_not_in_what_is_printed() -> None:
    stage = seal()
    assert stage._master.hex() not in repr(stage) and repr(stage) == "Seal()"
