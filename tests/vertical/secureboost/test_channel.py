"""What travels is encrypted, and decrypts to the sums that it should be."""

from __future__ import annotations

import numpy as np
import pytest

from fedlit.vertical.ciphers.base import OwnerKey
from fedlit.vertical.party import Sealed
from fedlit.vertical.secureboost import SecureBoost
from fedlit.vertical.secureboost.packing import Packing
from tests.vertical.secureboost.samples import columns
from tests.vertical.secureboost.stepped import SMALL_KEY, Run, run, tables

SPLIT = {"guest": (0, 1), "host": (2, 3)}
PEOPLE = 80


@pytest.fixture(scope="module")
def result() -> Run:
    """Two rounds, with one odd value in a column of the host."""
    table, target = columns(PEOPLE, missing=0)
    table[7, 2] = 0.8414709848078965
    return run(SecureBoost(depth=2), tables(table, table, target, target, SPLIT), 2, SMALL_KEY)


def key_of(result: Run) -> OwnerKey:
    return result.parties["guest"].hosts.key  # type: ignore[attr-defined, no-any-return]


def contents(result: Run) -> list[bytes]:
    """Each part of each message of the run, as bytes."""
    parts = [part for _, send in result.sent for part in send.body.values()]
    return [b"".join(part.blobs) if isinstance(part, Sealed) else part.tobytes() for part in parts]


def test_only_declared_parts_are_clear(result: Run) -> None:
    clear = {
        f"{send.name}.{name}"
        for _, send in result.sent
        for name, part in send.body.items()
        if not isinstance(part, Sealed)
    }
    attack = {"known.row", "known.label", "guesses.nodes", "guesses.linear", "guesses.forest"}
    assert clear == set(SecureBoost.clear) - attack


def test_no_derivative_and_no_value_is_in_a_message(result: Run) -> None:
    values = [0.8414709848078965, *result.states["guest"]["joint"]["margin"].tolist()]
    long = [np.array(value, order).tobytes() for value in [0.5, -0.5, 0.25, *values] for order in ("<f8", ">f8")]
    short = [np.array(value, order).tobytes() for value in values for order in ("<f4", ">f4")]
    fixed = [int(abs(value) * 2**40).to_bytes(5, "little") for value in values]
    patterns = [*long, *short, *fixed, *(pattern[::-1] for pattern in fixed)]
    assert not any(pattern in content for pattern in patterns for content in contents(result))


def test_a_planted_pattern_would_be_noticed() -> None:
    """The same search, where nothing is hidden."""
    table, target = columns(PEOPLE, missing=0)
    plain = run(SecureBoost(depth=2), tables(table, table, target, target, SPLIT), 1)
    assert any((2**39).to_bytes(5, "little") in content for content in contents(plain))


def test_neither_prime_is_in_a_message(result: Run) -> None:
    private = key_of(result).private  # type: ignore[attr-defined]
    primes = [int(value) for value in vars(private).values() if 2**100 < _number(value) < 2**130]
    assert len(primes) >= 2 and private.public.n % primes[0] in (0, primes[0])
    for prime in primes:
        for order in ("little", "big"):
            pattern = prime.to_bytes((prime.bit_length() + 7) // 8, order)  # type: ignore[arg-type]
            assert not any(pattern in content for content in contents(result))


def _number(value: object) -> int:
    return int(value) if type(value).__name__ in ("mpz", "int") else 0  # type: ignore[call-overload, no-any-return]


def test_gradients_decrypt_to_the_derivatives_of_the_log_loss(result: Run) -> None:
    key, packing = key_of(result), Packing.of(PEOPLE)
    _, target = columns(PEOPLE, missing=0)
    numbers = key.decrypt_all(key.opened(result.messages("guest", "gradients")[0]["packed"]))
    g, h = packing.unpacked(numbers)
    assert (g / 2**40).tolist() == (0.5 - target).tolist() and set(h / 2**40) == {0.25}


def test_sums_decrypt_to_the_left_sides_of_the_splits(result: Run) -> None:
    """At the root of the first tree: of each value of the host's columns but the largest, in any order."""
    key, packing = key_of(result), Packing.of(PEOPLE)
    table, target = columns(PEOPLE, missing=0)
    table[7, 2] = 0.8414709848078965
    expected = [
        ((0.5 - target)[left].sum(), 0.25 * left.sum())
        for column in (2, 3)
        for value in np.unique(table[:, column])[:-1]
        for left in [table[:, column] <= value]
    ]
    message = result.messages("host", "sums")[0]
    opened: list[int] = []
    for number in key.decrypt_all(key.opened(message["packed"])):
        opened += packing.opened(number, min(packing.capacity(key), len(message["node"]) - len(opened)))
    g, h = packing.unpacked(opened)
    assert sorted(zip(g / 2**40, h / 2**40, strict=True)) == sorted(expected)


def test_another_key_decrypts_to_something_else(result: Run) -> None:
    other, key = SMALL_KEY.generate(), key_of(result)
    part = result.messages("guest", "gradients")[0]["packed"]
    assert not set(other.decrypt_all(other.opened(part))) & set(key.decrypt_all(key.opened(part)))


def test_leaves_of_the_last_level_are_not_shown(result: Run) -> None:
    for message in result.messages("guest", "nodes"):
        assert message["of"].max() <= 2


def test_the_guest_has_no_value_of_a_host(result: Run) -> None:
    """The odd value is in the host's record or nowhere."""
    trees = result.states["guest"]["joint"]["trees"]
    assert 0.8414709848078965 not in trees["threshold"].tolist()[0] + trees["gain"].tolist()[0]
    host_nodes = trees["party"] == 1
    assert host_nodes.any() and not trees["threshold"][host_nodes].any()
