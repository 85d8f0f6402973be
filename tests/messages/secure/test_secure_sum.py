"""Secure sums against whole numbers in plain Python: exact, with clients lost in each trip; what cannot be is said."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from fedlit.errors import InputError
from fedlit.messages.reductions import Mean, Reduced, SecureSum
from fedlit.messages.secure import shamir
from fedlit.messages.wire import Wire, flatten_message
from tests.messages.secure.rounds import Played, messages, play
from tests.messages.secure.whole_numbers import mean, step


def secure(**options: Any) -> SecureSum:
    return SecureSum(**{"most_examples": 60, "precision": 1.0, **options})


def check(played: Played, wire: Wire, counts: list[int], bits: int = 32, limit: float = 8.0, most: int = 60) -> None:
    """The reduced message is the mean over the clients that arrived, to the last bit."""
    exact = step(bits, limit, most * len(counts))
    assert played.reduced.report == {"step": float(exact)}
    reduced = flatten_message(played.reduced.message)
    assert reduced.keys() == wire.keys() and played.arrived
    for key, value in wire.items():
        rows = value[played.arrived].tolist()
        expected = mean(rows, [counts[c] for c in played.arrived], exact, value.numpy().dtype.type)
        assert reduced[key].dtype == value.dtype
        assert np.array_equal(reduced[key].numpy(), expected), key


COUNTS = [3, 60, 1, 17, 8, 25, 40]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [32, 64])
def test_the_mean_is_exact_to_the_bit(bits: int, dtype: torch.dtype) -> None:
    wire = messages(7, dtype=dtype)
    played = play(secure(bits=bits), wire, COUNTS)
    assert played.arrived == list(range(7))
    check(played, wire, COUNTS, bits)


@pytest.mark.parametrize("trip", [1, 2, 3, 4])
def test_clients_may_be_lost_in_each_trip(trip: int) -> None:
    wire = messages(7)
    played = play(secure(), wire, COUNTS, {trip: [1, 4]})
    assert played.arrived == ([0, 2, 3, 5, 6] if trip < 4 else list(range(7)))
    check(played, wire, COUNTS)


def test_clients_are_lost_in_all_trips_of_a_round_and_come_back_in_the_next_one() -> None:
    counts = [random.Random(k).randint(1, 60) for k in range(20)]
    reduction = secure(threshold=0.5)
    wire = messages(20)
    first = play(reduction, wire, counts, {1: [0], 2: [3, 4], 3: [7, 8], 4: [11, 12]})
    assert first.arrived == [c for c in range(20) if c not in (0, 3, 4, 7, 8)]
    check(first, wire, counts)
    again = messages(20, seed=1)
    second = play(reduction, again, counts, number=2)
    check(second, again, counts)


@pytest.mark.parametrize("seed", range(3))
def test_any_15_of_50_clients_may_be_lost(seed: int) -> None:
    rng = random.Random(seed)
    counts = [rng.randint(1, 60) for _ in range(50)]
    wire = messages(50, size=5)
    lost = rng.sample(range(50), 15)
    where: dict[int, list[int]] = {trip: [] for trip in (1, 2, 3, 4)}
    for client in lost:
        where[rng.choice([1, 2, 3, 4])].append(client)
    check(play(secure(), wire, counts, where), wire, counts)


def test_uneven_weights_up_to_60000_examples() -> None:
    """A value of 2.0 stays 2.0."""
    counts = [60000, 1, 5000, 59999, 7]
    wire = {"delta.weights": torch.tensor([[2.0, -0.3]] * 5)}
    played = play(secure(most_examples=60000), wire, counts)
    check(played, wire, counts, most=60000)
    weights = flatten_message(played.reduced.message)["delta.weights"]
    assert weights[0] == 2.0 and abs(float(weights[1]) + 0.3) <= played.reduced.report["step"] / 2
    wide = play(secure(most_examples=60000, bits=64), messages(5), counts)
    check(wide, messages(5), counts, 64, most=60000)


def test_a_value_at_the_limit_is_sent_and_one_beyond_it_loses_its_client() -> None:
    wire = messages(5)
    wire["delta.weights"][1, 3], wire["delta.weights"][3, 0] = 8.0, -8.0
    counts = [60] * 5
    check(play(secure(), wire, counts), wire, counts)
    wire["delta.weights"][2, 5] = 8.000001
    played = play(secure(), wire, counts)
    assert played.arrived == [0, 1, 3, 4]
    assert played.refusals == {
        2: "delta.weights of its message has an entry of 8.00000095, and reduction.range=8, and its message is not sent"
    }
    check(played, wire, counts)


def test_a_client_with_too_many_samples_is_lost() -> None:
    wire = messages(4)
    played = play(secure(), wire, [60, 61, 5, 5])
    assert played.arrived == [0, 2, 3] and "it has 61 samples, and reduction.most_examples=60" in played.refusals[1]


def changed(trip: int, clients: list[int], key: str, at: Any) -> Any:
    def tamper(now: int, client: int, wire: Wire) -> Wire:
        if now == trip and client in clients:
            value = wire[key].clone()
            value[(0, *at)] ^= 1
            return wire | {key: value}
        return wire

    return tamper


def test_a_wrong_share_is_found_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    wire = messages(7)
    for client, about in ((0, 2), (6, 2), (3, 5)):
        caplog.clear()
        tamper = changed(4, [client], "shares", (about, shamir.SIZE - 1))
        check(play(secure(threshold=0.5), wire, COUNTS, {3: [5]}, tamper=tamper), wire, COUNTS)
        assert f"wrong shares came from 1 client, {client}; the sum does without them" in caplog.text


def test_wrong_shares_are_found_among_many_clients(caplog: pytest.LogCaptureFixture) -> None:
    """There are 38,760 choices of 14 shares of 20, and the wrong ones are in the first 38,000 of them."""
    wire, counts = messages(20), [7] * 20

    def tamper(trip: int, client: int, sent: Wire) -> Wire:
        return sent | {"shares": sent["shares"] ^ 1} if trip == 4 and client in (0, 1) else sent

    check(play(secure(), wire, counts, tamper=tamper), wire, counts)
    assert "wrong shares came from 2 clients, 0, 1; the sum does without them" in caplog.text


def test_a_changed_box_is_a_share_that_is_missing() -> None:
    wire = messages(7)
    check(play(secure(threshold=0.5), wire, COUNTS, tamper=changed(2, [3], "boxes", (2, 100))), wire, COUNTS)


def nothing(played: Played, caplog: pytest.LogCaptureFixture, why: str) -> None:
    assert played.reduced == Reduced({})
    assert f"round 1: SecureSum reduces nothing, and the server keeps its state: {why}" in caplog.text


def test_too_many_wrong_shares_give_nothing(caplog: pytest.LogCaptureFixture) -> None:
    played = play(secure(threshold=1.0), messages(4), [1] * 4, tamper=changed(4, [1], "shares", (2, 0)))
    nothing(played, caplog, "the shares do not give the secrets back, because too many of them are wrong")


@pytest.mark.parametrize("trip", [1, 2, 3, 4])
def test_fewer_clients_than_the_threshold_give_nothing(trip: int, caplog: pytest.LogCaptureFixture) -> None:
    played = play(secure(threshold=0.6), messages(5), [1] * 5, {trip: [0, 1, 2]})
    nothing(played, caplog, f"2 clients answered in trip {trip}, and it needs 3")
    caplog.clear()
    check(play(secure(threshold=0.6), messages(5), [1] * 5, {trip: [0, 2]}), messages(5), [1] * 5)


def test_a_cohort_that_is_too_large_for_the_precision_gives_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A sampler may choose more clients than on average."""
    reduction = secure(precision=1e-6)
    check(play(reduction, messages(4), [1] * 4), messages(4), [1] * 4)
    nothing(play(reduction, messages(5), [1] * 5), caplog, "SecureSum with range=8 and bits=32 has a step of 1.9e-06")


def test_a_client_that_is_drawn_twice_is_refused() -> None:
    with pytest.raises(InputError, match="the sampler chose client 4 more than once in round 1, and SecureSum needs"):
        play(secure(), messages(3), [1] * 3, cohort=[4, 2, 4])


def test_a_client_opens_no_share_for_a_server_that_names_too_few_or_strangers() -> None:
    reduction = secure(threshold=0.6)
    played = play(reduction, messages(5), [1] * 5)
    assert all(sent["shares"].shape == (1, 5, shamir.SIZE) for sent in played.sent[4].values())

    class Liar(SecureSum):
        named: tuple[int, ...] = ()

        def ask(self) -> Any:
            asked = super().ask()
            if self._server.trip == 4:
                asked.to_all["clients"] = torch.tensor(self.named)
            return asked

    for named in ((0, 1), (0, 1, 2, 77)):
        liar = Liar(threshold=0.6, most_examples=60, precision=1.0)
        liar.named = named
        refused = play(liar, messages(5), [1] * 5)
        assert not refused.sent[4] and all("this client opens no share" in why for why in refused.refusals.values())
        assert refused.reduced.message == {}


def test_uniform_weights_and_weights_that_messages_carry() -> None:
    wire = messages(5, dtype=torch.float64) | {"w": torch.tensor([[0.5], [0.0], [2.0], [1.0], [0.25]]).double()}
    counts = [4, 9, 2, 7, 1]
    for weighting in ({"delta": "uniform"}, {"delta": "w"}):
        secret = flatten_message(play(secure(bits=64, range=16), wire, counts, weighting=weighting).reduced.message)
        plain = Mean().start(weighting, None)  # type: ignore[arg-type]
        plain.add(list(range(5)), wire, torch.tensor(counts)[:, None].double())
        for key, value in flatten_message(plain.finish().message).items():
            torch.testing.assert_close(secret[key], value, rtol=1e-12, atol=1e-12, msg=f"{key} {weighting}")


def test_weights_all_zero_reduce_to_zero() -> None:
    wire = messages(3) | {"w": torch.zeros(3, 1)}
    reduced = flatten_message(play(secure(), wire, [1, 1, 1], weighting={"delta": "w"}).reduced.message)
    assert not reduced["delta.weights"].any() and float(reduced["w"]) == 0


def test_inputs_are_unchanged_and_the_seed_makes_runs_repeatable() -> None:
    wire = messages(4)
    before = {key: value.clone() for key, value in wire.items()}
    first, second = (play(secure(insecure_keys="seed"), wire, [1] * 4) for _ in range(2))
    assert all(torch.equal(wire[key], before[key]) for key in wire)
    assert all(torch.equal(first.sent[3][c]["masked"], second.sent[3][c]["masked"]) for c in range(4))
    third = play(secure(), wire, [1] * 4)
    assert not torch.equal(first.sent[3][0]["masked"], third.sent[3][0]["masked"])
    assert torch.equal(
        flatten_message(third.reduced.message)["delta.weights"], flatten_message(first.reduced.message)["delta.weights"]
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"threshold": 0}, "threshold=0 is not allowed; write a finite number above 0"),
        ({"threshold": 1.5}, "threshold=1.5 is not allowed; write a share above 0, up to 1"),
        ({"range": -1.0}, "range=-1.0 is not allowed; write a finite number above 0"),
        ({"range": float("nan")}, "range=nan"),
        ({"precision": 0}, "precision=0"),
        ({"bits": 16}, "bits=16 is not allowed; write 32 or 64"),
        ({"most_examples": 0}, "most_examples=0"),
        ({"insecure_keys": "mine"}, "secure.insecure_keys='mine' is not allowed; write null, or seed for debugging"),
    ],
)
def test_options_that_are_not_allowed(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence.replace("(", r"\(")):
        SecureSum(**options)
