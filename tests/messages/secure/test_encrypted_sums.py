"""Sums under CKKS and Paillier: equal to the mean, and the server cannot decrypt."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.errors import InputError
from fedlit.messages.plan import MessagePlan
from fedlit.messages.reductions import Ckks, Paillier, Protocol
from fedlit.messages.secure import ckks as ckks_cipher
from fedlit.messages.secure import packed_paillier, paillier
from fedlit.messages.secure.ckks import SLOTS
from fedlit.messages.secure.paillier import PrivateKey
from fedlit.messages.wire import Wire, flatten_message
from fedlit.server_round import ServerRound
from tests.messages.secure.rounds import messages, play
from tests.messages.secure.whole_numbers import mean

COUNTS = [3, 60, 1, 17, 8]


def ready(reduction: Protocol) -> Protocol:
    reduction.setup(None, 5)  # type: ignore[arg-type]
    return reduction


@pytest.fixture(scope="module")
def ckks() -> Protocol:
    return ready(Ckks(most_examples=60, decryptors=2))


@pytest.fixture(scope="module")
def of_paillier() -> Protocol:
    return ready(Paillier(most_examples=60, decryptors=2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [5, 2048, 4500])
def test_ckks_is_the_mean_within_a_millionth(ckks: Protocol, size: int, dtype: torch.dtype) -> None:
    wire = messages(5, size, dtype=dtype)
    played = play(ckks, wire, COUNTS, {1: [1]})
    assert played.arrived == [0, 2, 3, 4]
    weights = torch.tensor([3.0, 1, 17, 8], dtype=torch.float64)[:, None]
    for key, value in flatten_message(played.reduced.message).items():
        rows = wire[key][played.arrived].double()
        assert value.dtype == dtype
        assert float((value - (rows * weights).sum(0) / 29).abs().max()) < 1e-6


def test_paillier_is_exact_to_the_bit(of_paillier: Protocol) -> None:
    wire = messages(5, 70, dtype=torch.float64)
    wire["delta.weights"][2, 3], wire["delta.weights"][4, 3] = 8.0, -8.0
    played = play(of_paillier, wire, COUNTS, {1: [1], 2: [0]})
    assert played.arrived == [0, 2, 3, 4], "a client that fails in the second trip has arrived"
    for key, value in flatten_message(played.reduced.message).items():
        rows = wire[key][played.arrived].tolist()
        assert np.array_equal(value.numpy(), mean(rows, [3, 1, 17, 8], Fraction(1, 2**30), np.float64))


def test_the_sum_is_lost_where_nobody_decrypts_it(ckks: Protocol, caplog: pytest.LogCaptureFixture) -> None:
    assert play(ckks, messages(5), COUNTS, {2: [0, 1]}).reduced.message == {}
    assert "none of the clients that were asked has decrypted the sum" in caplog.text
    assert play(ckks, messages(5), COUNTS, {1: [0, 1, 2, 3]}).reduced.message == {}
    assert "1 message arrived, and the sum of a single one is this message" in caplog.text
    assert play(ckks, messages(5), COUNTS, {1: range(5)}).reduced.message == {}


@pytest.mark.parametrize("made", ["ckks", "of_paillier"])
def test_a_wrong_decryption_is_noticed_where_two_clients_decrypt(
    made: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    reduction = request.getfixturevalue(made)

    def tamper(trip: int, client: int, sent: Wire) -> Wire:
        if trip == 2 and client == 1:
            changed = sent["sums"].clone()
            changed[0, 3] += 1
            return sent | {"sums": changed}
        return sent

    assert play(reduction, messages(5), COUNTS, tamper=tamper).reduced.message == {}
    assert "clients 0 and 1 have decrypted one sum to different numbers" in caplog.text
    alone = play(reduction, messages(5), COUNTS, {2: [0]}, tamper=tamper)
    assert alone.reduced.message, "nobody can tell a single wrong decryption"


def test_ckks_is_right_up_to_its_largest_sum(caplog: pytest.LogCaptureFixture) -> None:
    """The coefficients of a ciphertext are largest where all its numbers are the same."""
    reduction = ready(Ckks(range=4095.5, most_examples=1))
    for sign in (1, -1):
        wire = {"delta.weights": sign * torch.full((2, SLOTS), 4095.5, dtype=torch.float64)}
        weights = flatten_message(play(reduction, wire, [1, 1]).reduced.message)["delta.weights"]
        assert float((weights - wire["delta.weights"][0]).abs().max()) < 1e-4
    with pytest.raises(InputError, match="write reduction.range=4095.5 or less"):
        Ckks(range=4096).check(plan(2))


def test_a_cohort_whose_sum_may_be_too_large_gives_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A sampler may choose more clients than on average; the sum of 9 times 1000 would come out as -7384."""
    reduction = ready(Ckks(range=1000, most_examples=1))
    assert play(reduction, {"delta.weights": torch.full((9, SLOTS), 1000.0)}, [1] * 9).reduced.message == {}
    assert "adds up to 9000 over 9 clients, and its sums reach 8191 at most; write reduction.range=910" in caplog.text
    reduction = ready(Paillier(range=1000, step=2.0**-50, most_examples=1))
    assert play(reduction, messages(9), [1] * 9).reduced.message == {}
    assert "may leave 64 bits with 9 clients" in caplog.text


def test_the_errors_of_ckks_are_those_of_its_docs() -> None:
    """Three clients with few samples of 100 at most: the errors of 2,048 entries have the standard deviation that is
    reported, times sqrt(1 + x^2)."""
    reduction, counts = ready(Ckks(most_examples=100)), [1, 2, 3]
    for x in (0.0, 2.0):
        wire = {"delta.weights": torch.full((3, 4 * SLOTS), x, dtype=torch.float64)}
        reduced = play(reduction, wire, counts).reduced
        errors = flatten_message(reduced.message)["delta.weights"] - x
        expected = ckks_cipher.NOISE * 3**0.5 * 100 / 6
        assert reduced.report["noise_std"] == pytest.approx(expected, rel=1e-6)
        assert 0.8 < float(errors.std()) / expected < 1.2  # of each number; that of the weight is common to all
        assert float(errors.mean().abs()) < 8 * expected * max(x, 0.1)


def test_large_errors_of_ckks_are_named_before_the_run(caplog: pytest.LogCaptureFixture) -> None:
    Ckks().check(plan(10, 600, mean=6.0))
    assert not caplog.records
    Ckks(most_examples=60_000).check(plan(4, 600, mean=6.0))
    assert "errors of about 3e-06, because most_examples=60000 is 1e+04 times the mean number of samples" in caplog.text


def test_the_context_of_the_server_cannot_decrypt(ckks: Protocol) -> None:
    tenseal = pytest.importorskip("tenseal")
    server: Any = ckks.start({}, ServerRound(number=1, seed=0, cohort=[0, 1], clients=2))
    assert server.key_holder is None
    context = tenseal.context_from(server._cipher.context)
    assert not context.is_private()
    text = ckks.key_holder.encrypted(np.ones(3))  # type: ignore[attr-defined]
    (part,) = ckks_cipher._texts(text)
    with pytest.raises(ValueError, match="secret_key"):
        tenseal.ckks_vector_from(context, part).decrypt()
    assert np.allclose(ckks.key_holder.decrypted(text, 3), 1)  # type: ignore[attr-defined]


def test_the_server_has_neither_prime_of_paillier(of_paillier: Protocol) -> None:
    server: Any = of_paillier.start({}, ServerRound(number=1, seed=0, cohort=[0, 1], clients=2))
    key = server._cipher.key
    assert server.key_holder is None and {"n", "h_s"} <= vars(key).keys() and not hasattr(key, "p")
    assert key.n.bit_length() == 2048


def test_the_keys_of_two_starts_differ() -> None:
    first, second = (ready(Paillier()) for _ in range(2))
    assert first.key_holder.key.public != second.key_holder.key.public  # type: ignore[attr-defined]


def test_paillier_against_the_definition() -> None:
    """m = L(c^lambda mod n^2) / L(g^lambda mod n^2) mod n, with L(x) = (x - 1) / n and lambda = lcm(p - 1, q - 1)."""
    import math

    key = PrivateKey.generate(256)
    p, q = int(key.p), int(key.q)
    n = p * q
    carmichael = math.lcm(p - 1, q - 1)

    def opened(c: Any) -> int:
        def quotient(x: int) -> int:
            return (x - 1) // n

        of_c = quotient(pow(int(c), carmichael, n * n))
        of_g = quotient(pow(1 + n, carmichael, n * n))
        return of_c * pow(of_g, -1, n) % n

    for message in (0, 1, -1, 12345, n // 2, -(n // 2)):
        for c in (key.encrypt(message), key.public.encrypt(message)):
            assert opened(c) == message % n and key.decrypt(c) == message
    a, b = key.encrypt(-50), key.encrypt(8)
    assert key.decrypt(key.public.add(a, b)) == -42 and opened(key.public.times(b, -3)) == -24 % n
    assert key.encrypt(5) != key.encrypt(5)


@pytest.mark.parametrize("bits", [32, 64])
def test_packed_sums_are_sums_of_packed_numbers(bits: int) -> None:
    packing = packed_paillier.Packing(bits, 5)
    edge = 2 ** (bits - 1)
    rows = [[edge // 2 - 1, -edge // 2, 0, -1, 1], [edge // 2, -edge // 2, 0, 1, -1]]
    total = packing.packed(rows[0]) + packing.packed(rows[1])
    assert packing.unpacked(total) == [edge - 1, -edge, 0, 0, 0]


def test_ciphertexts_have_the_modulus_of_the_docs() -> None:
    assert paillier.BITS == 2048
    assert PrivateKey.generate(512).public.n.bit_length() == 512


def plan(expected: float, most: int = 60, mean: float = 60.0) -> MessagePlan:
    return MessagePlan(
        "FedAvg",
        messages_row(),
        {},
        None,  # type: ignore[arg-type]
        10,
        expected,
        most_examples=most,
        mean_examples=mean,
    )


def messages_row() -> dict[str, torch.Tensor]:
    return {key: value[0] for key, value in messages(1).items()}


def test_sums_that_do_not_fit_are_refused_before_work() -> None:
    with pytest.raises(InputError, match=r"adds up to 16384 over 2,?048 clients, and its sums reach 8191 at most"):
        Ckks().check(plan(2048))
    with pytest.raises(InputError, match="may leave 64 bits with 50 clients of up to 60,?000 samples; write a smaller"):
        Paillier(step=1e-14).check(plan(50, 60000))
    for reduction in (Ckks(), Paillier()):
        with pytest.raises(InputError, match="adds the messages of 2 clients or more, and a round has 1 of them"):
            reduction.check(plan(1))
        reduction.check(plan(10))
