"""Protocols of a user's whose `ask`, answers or messages do not fit, and the order of what clients receive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from fedlit.aggregators import FedAvg
from fedlit.errors import InputError
from fedlit.messages.reductions import Asked, Ckks, Mean, Median, Protocol, Reduced, Reduction, SecureSum
from fedlit.messages.wire import unflatten_message
from fedlit.training.stacked import VectorizedTrainer
from tests.aggregators.federations import Listed, Running

CHUNKS: dict[str, Any] = {"kind": VectorizedTrainer, "chunk": 2}


class Numbered(Protocol):
    """The mean; the server tells each client its number, and hears it again.

    Args:
        mistake: what goes wrong, and where.
    """

    trips = 2

    def __init__(self, mistake: str = ""):
        self.mistake = mistake

    def begin(self) -> None:
        self.messages, self.told = Mean().start(self.weighting, self.round), dict[int, int]()

    def first(self, client: Any, wire: Any, weighting: Any) -> Any:
        rows = {"few rows": slice(1)}.get(self.mistake, slice(None))
        kept = {"kept without rows": torch.zeros(())}.get(self.mistake, client.number)
        return {key: value[rows] for key, value in wire.items()}, {"number": kept}

    def answer(self, client: Any, kept: Any) -> Any:
        assert torch.equal(client.received_each["number"], client.number) and torch.equal(kept["number"], client.number)
        number = 3 if self.mistake == "no tensor" else client.received_each["number"]
        return {"number": number}, {"number": 3} if self.mistake == "kept no tensor" else {}

    def ask(self) -> Any:
        arrived = list(self.round.arrived)
        asked = {
            "another order": arrived[::-1],
            "a stranger": [*arrived, 7],
            "twice": [*arrived, arrived[0]],
            "some": arrived[1:],
        }.get(self.mistake, arrived)
        if self.mistake in ("none", "a list"):
            return None if self.mistake == "none" else asked
        if self.mistake == "a tensor":
            return Asked(torch.tensor(asked))  # type: ignore[arg-type]
        numbers = torch.tensor(asked[:1] if self.mistake == "one row" else asked)[:, None]
        return Asked(asked, {"n": 3} if self.mistake == "a number" else {}, {"number": numbers})

    def add(self, clients: Any, wire: Any, examples: Any) -> None:
        if "number" in wire:
            self.told |= zip(clients, wire["number"][:, 0].tolist(), strict=True)
        else:
            self.messages.add(clients, wire, examples)

    def finish(self) -> Reduced:
        assert all(client == number for client, number in self.told.items())
        return Reduced(self.messages.finish().message, report={"told": len(self.told)})


@pytest.mark.parametrize("mistake", ["", "some"])
def test_each_client_receives_what_is_meant_for_it(mistake: str, tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed([3, 0, 2, 1]), reduction=Numbered(mistake), **CHUNKS).go()
    plain = Running(tmp_path, FedAvg(), Listed([3, 0, 2, 1]), **CHUNKS).go()
    assert torch.equal(run.weights, plain.weights) and run.rows[0]["reduction/told"] == (3 if mistake else 4)


ASKED = r"ask of Numbered names the clients \[.*\], and those that have answered are \[0, 2, 3, 1\]; name some of these"
MISTAKES = {
    "few rows": r"first of Numbered: delta.weights of the message has shape \(1, ",
    "kept without rows": r"first of Numbered: number of what clients keep has shape \(\)",
    "kept no tensor": "answer of Numbered: number of what clients keep holds a int",
    "no tensor": "answer of Numbered: number of the message holds a int",
    "another order": ASKED,
    "a stranger": ASKED,
    "twice": ASKED,
    "none": r"ask of Numbered returns NoneType; return Asked\(clients\), with a list",
    "a list": r"ask of Numbered returns list; return Asked\(clients\), with a list",
    "a tensor": r"ask of Numbered returns Asked whose clients are a Tensor; return Asked\(clients\), with a list",
    "one row": r"ask of Numbered: number of to_each has shape \(1, 1\): its first axis has to be the 4 clients",
    "a number": "ask of Numbered: n of to_all holds a int",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named(mistake: str, tmp_path: Path) -> None:
    run = Running(tmp_path, FedAvg(), Listed([3, 0, 2, 1]), reduction=Numbered(mistake), **CHUNKS)
    with pytest.raises(InputError, match=f"^{MISTAKES[mistake]}"):
        run.go()


class Uneven(FedAvg):
    """Client 2 sends more numbers than the others: a sum would add the one of another client to each of them."""

    def local_update(self, client: Any, received: Any, state: Any) -> Any:
        message, state = super().local_update(client, received, state)
        size = 3 if client.number.tolist() == [[2]] else 1
        return message | {"u": torch.ones(len(client.number), size)}, state


@pytest.mark.parametrize("reduction", [Mean(), Median(), SecureSum(bits=64, most_examples=20), Ckks(most_examples=20)])
def test_messages_of_several_shapes_are_refused(reduction: Reduction, tmp_path: Path) -> None:
    run = Running(tmp_path, Uneven(), Listed([0, 1, 2]), reduction=reduction)
    with pytest.raises(InputError, match=r"Uneven: u of client 2 has the shape \(3,\), and that of client 0 \(1,\)"):
        run.go()


class Complex(FedAvg):
    def local_update(self, client: Any, received: Any, state: Any) -> Any:
        message, state = super().local_update(client, received, state)
        return message | {"z": torch.complex(message["delta"].weights, message["delta"].weights)}, state


def test_complex_numbers_are_averaged_whole_or_refused(tmp_path: Path) -> None:
    """A hidden sum would be that of their real parts."""
    plain = Mean().start({}, None)  # type: ignore[arg-type]
    plain.add([0], {"z": torch.tensor([[1 + 2j]])}, torch.ones(1, 1))
    assert plain.finish().message == unflatten_message({"z": torch.tensor([1 + 2j])})
    for reduction in (SecureSum(bits=64, most_examples=20), Ckks(most_examples=20)):
        with pytest.raises(InputError, match="z of the message holds complex numbers .*; send torch.view_as_real"):
            Running(tmp_path, Complex(), Listed([0, 1]), reduction=reduction).go()
