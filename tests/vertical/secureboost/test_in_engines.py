"""SecureBoost in the engines of fedlit, with their wire and ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from fedlit.errors import InputError
from fedlit.vertical.ciphers.base import Cipher
from fedlit.vertical.engine import ALIGN, PREDICT, ROUND, SETUP, Engine, Plan
from fedlit.vertical.party_data import PartyData
from fedlit.vertical.processes import Processes
from fedlit.vertical.secureboost import SecureBoost
from fedlit.vertical.serial import Serial
from fedlit.vertical.state import EMPTY, from_bytes
from tests.vertical.secureboost.samples import parties
from tests.vertical.secureboost.stepped import PLAIN, SMALL_KEY, run
from tests.vertical.secureboost.test_same_bits import bits

SMALL = SecureBoost(depth=3, bins=5, missing_party="guest", leak="instance_space", known_labels=20)


class SameRows:
    """An alignment of tables whose rows are the same people already."""

    clear: ClassVar[dict[str, str]] = {}

    def align(self, data: PartyData, others: Sequence[str]) -> Any:
        return data
        yield


def engine_run(engine: Engine, protocol: SecureBoost, cipher: Cipher, rounds: int) -> tuple[Any, list[Any]]:
    """States, and the facts of all phases."""
    data = parties(90)
    with engine:
        plan = Plan(protocol, cipher, SameRows(), ("host", "bank"), "binary")
        engine.start(plan, data, plan.ledger())
        end = engine.phase(ALIGN, 0, dict.fromkeys(data, EMPTY))
        end = engine.phase(SETUP, 0, end.states)
        facts = []
        for number in range(1, rounds + 1):
            for phase in (ROUND, PREDICT):
                end = engine.phase(phase, number, end.states)
                facts.append(end.facts)
    return {name: bits(from_bytes(state)) for name, state in end.states.items()}, facts


@pytest.fixture(autouse=True)
def two_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedlit.vertical.secureboost.leak.DRAWS", 2)


def test_every_part_is_sealed_or_declared_and_states_are_those_of_plain() -> None:
    """The ledger refuses any other part under Paillier."""
    states, facts = engine_run(Serial(), SMALL, SMALL_KEY, 2)
    stepped = run(SMALL, parties(90), 2, PLAIN)
    assert states == bits(stepped.states)
    assert [facts[0], facts[2]] == [{p: f for p, f in row.items() if p != "test"} for row in stepped.rows]
    assert [facts[1]["guest"], facts[3]["guest"]] == [row["test"] for row in stepped.rows]


def test_processes_give_the_bits_of_serial() -> None:
    quiet = SecureBoost(depth=3, bins=5)
    assert engine_run(Processes(), quiet, SMALL_KEY, 2) == engine_run(Serial(), quiet, SMALL_KEY, 2)


def test_an_undeclared_part_would_be_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = {part: reason for part, reason in SecureBoost.clear.items() if part != "left.side"}
    monkeypatch.setattr(SecureBoost, "clear", declared)
    with pytest.raises(InputError, match=r"left.side"):
        engine_run(Serial(), SMALL, SMALL_KEY, 1)


def test_the_table_of_what_travels_names_every_part() -> None:
    """Each declared part and each sealed one is in the docstring."""
    text = SecureBoost.__doc__ or ""
    for part in [*SecureBoost.clear, "gradients.packed", "sums.packed"]:
        message, name = part.split(".")
        assert f"`{message}`" in text and f"`{name}`" in text
